"""The Mammography CAD SR (TID 4000)."""
