"""From DICOM files and a table to pictures and the tables that training reads."""
