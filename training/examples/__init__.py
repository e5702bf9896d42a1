"""Examples of the whole way, from data to a bundle."""
