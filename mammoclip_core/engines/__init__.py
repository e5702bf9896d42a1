"""What computes a bundle: torch or OpenVINO."""
