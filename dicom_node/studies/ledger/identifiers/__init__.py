"""The index of identifiers: by what people look for a study, for as long as it has files."""
