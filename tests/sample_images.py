"""The mammograms that tests read: the shipped samples, and further ones where a site has any."""

import os
from pathlib import Path
from typing import Any, Final

import pytest

STUDIES: Final = Path(__file__).parents[1] / "deploy" / "demo" / "studies"
FILM: Final = STUDIES / "film"
PHANTOM: Final = STUDIES / "phantom"

VARIABLE: Final = "MAMMOCLIP_TEST_DATA"
FURTHER: Final = os.environ.get(VARIABLE)


def sample(name: str) -> Path:
    """Return the path of a study or image below the shipped studies or the further images."""
    shipped = STUDIES / name
    return shipped if shipped.exists() or not FURTHER else Path(FURTHER) / name


def further(*values: Any) -> Any:
    """Return a case of a parametrized test that needs further images."""
    return pytest.param(*values, marks=pytest.mark.further_images)


def skip_without_further_images(item: pytest.Item) -> None:
    """Skip a test that is marked as needing further images, where none are named."""
    if item.get_closest_marker("further_images") and not FURTHER:
        pytest.skip(f"reads further mammograms: {VARIABLE} names no folder (CONTRIBUTING.md)")
