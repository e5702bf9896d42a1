"""Phantoms in the published tables, and random weights at a small input."""

from dataclasses import replace

import pytest
from random_bundle import make_random_bundle

from mammoclip_core.manifest import write_manifest
from training.phantoms.family import Family
from training.phantoms.writing import Order, write_phantoms

ROWS, COLUMNS = 128, 96


@pytest.fixture(scope="session")
def phantom_tables(tmp_path_factory):
    """Folder with ``png``, ``finding_annotations.csv`` and ``truth.csv`` of eight studies."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(
        Order(family=Family.PLAIN, seed=4, studies=8, out=folder, rows=ROWS, columns=COLUMNS)
    )
    return folder


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory):
    """Random weights with an input of 128 x 96."""
    folder = tmp_path_factory.mktemp("small") / "bundle"
    folder.mkdir()
    manifest = make_random_bundle(folder)
    pixels = replace(manifest.preprocessing, rows=ROWS, columns=COLUMNS)
    write_manifest(replace(manifest, preprocessing=pixels), folder)
    return folder
