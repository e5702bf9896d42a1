"""Pretraining: images and reports of breasts into one space, by multi-view supervision."""
