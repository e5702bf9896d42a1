"""From the files of a study to its findings."""
