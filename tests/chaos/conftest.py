"""What these tests share: a bundle of random weights."""

from bundles import bundle

__all__ = ["bundle"]
