"""Everything DICOM: reception, the ledger of studies, result objects and their delivery."""
