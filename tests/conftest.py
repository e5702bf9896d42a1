"""What holds for every test: a misspelt DICOM keyword is an error."""

import pydicom.config

pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"
