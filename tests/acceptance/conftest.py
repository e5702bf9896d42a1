"""What these tests share: a bundle of random weights, and a PostgreSQL server."""

from bundles import bundle
from postgresql import postgresql

__all__ = ["bundle", "postgresql"]
