"""Random weights, made to take small images: what training is tried with."""

from dataclasses import replace
from pathlib import Path

from random_bundle import make_random_bundle

from mammoclip_core.manifest import write_manifest

SIZE = (96, 64)
"""Rows and columns of the model's input."""


def small_random_bundle(folder: Path) -> Path:
    """Write it into a new folder."""
    folder.mkdir(parents=True)
    manifest = make_random_bundle(folder)
    pixels = replace(manifest.preprocessing, rows=SIZE[0], columns=SIZE[1])
    write_manifest(replace(manifest, preprocessing=pixels), folder)
    return folder
