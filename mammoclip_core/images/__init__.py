"""From DICOM and picture files to pixels, and from pixels to what the model is shown."""
