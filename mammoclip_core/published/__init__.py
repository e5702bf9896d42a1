"""The files that the authors publish: found, fetched, read and converted into bundles."""
