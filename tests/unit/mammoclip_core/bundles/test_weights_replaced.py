"""A bundle whose weights are replaced while they are read is not taken for either."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_bundles import small_random_bundle

from mammoclip_core.bundles.tensors import weights_checked
from mammoclip_core.errors import BundleError
from mammoclip_core.manifest import WEIGHTS_NAME, read_manifest


def another_file_in_its_place(weights: Path) -> None:
    other = weights.with_name("other")
    shutil.copy(weights, other)
    other.rename(weights)


def written_to(weights: Path) -> None:
    with weights.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(first)


@pytest.mark.parametrize("change", [another_file_in_its_place, written_to])
def test_weights_that_change_while_they_are_read_are_refused(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    bundle = small_random_bundle(tmp_path / "bundle")

    with (
        pytest.raises(BundleError, match="was replaced while it was read"),
        weights_checked(bundle, read_manifest(bundle)),
    ):
        change(bundle / WEIGHTS_NAME)


def test_weights_that_stay_are_taken(tmp_path: Path) -> None:
    bundle = small_random_bundle(tmp_path / "bundle")

    with weights_checked(bundle, read_manifest(bundle)):
        pass
