"""Report texts: cleaned, shuffled, and written from labels."""
