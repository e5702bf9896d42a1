"""The words and codes of result objects, the same in every kind."""
