"""The task ``analyze``: from the images of a study to its result objects in the spool."""
