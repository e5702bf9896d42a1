"""Phantom mammograms: made-up patients with known findings, as pictures, tables and DICOM."""
