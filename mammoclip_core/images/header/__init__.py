"""What a data set says of its image, read without decoding any pixel."""
