"""Data elements of result objects: legal values, copied values, order and digests."""
