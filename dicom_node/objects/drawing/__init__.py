"""Drawing: from stored values and findings to pictures, without any DICOM object."""
