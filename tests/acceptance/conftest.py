"""What these tests share: the demonstration bundle."""

from bundles import bundle

__all__ = ["bundle"]
