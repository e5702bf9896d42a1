"""What pretraining is good for: linear probes, fine-tunes and calibration, written into bundles."""
