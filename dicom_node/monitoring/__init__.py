"""The statistics by which the model is watched: no network, no files, no clock of their own."""
