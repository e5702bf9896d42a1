"""Commands on many studies: folders, and lists that are fetched from archives."""
