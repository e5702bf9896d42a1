"""The acceptor's half of the DICOM upper layer and its services (PS3.8, PS3.7)."""
