"""Key Object Selections: the images with findings, and the results that are retracted."""
