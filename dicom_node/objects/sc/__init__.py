"""Secondary Captures: a picture of each image, and the summary sheet."""
