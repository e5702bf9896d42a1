"""The page to print, as an Encapsulated PDF."""
