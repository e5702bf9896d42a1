"""From a DICOM file to stored values, in this process or in child processes that may die."""
