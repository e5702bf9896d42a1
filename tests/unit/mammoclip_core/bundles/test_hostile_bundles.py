"""A bundle folder that somebody has made to harm: refused, and nothing in it is run."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mammoclip_core.bundles.tensors import read_image_side, weights_checked
from mammoclip_core.errors import BundleError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import read_manifest

Harm = Callable[[Path], None]


class Touching:
    """Makes a file when its pickle is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.fixture
def bundle(random_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


def pickle_for_weights(weights: Path) -> None:
    weights.write_bytes(pickle.dumps(Touching(weights.parents[1] / "made")))


def header_of_2_63_bytes(weights: Path) -> None:
    weights.write_bytes(struct.pack("<Q", 2**63) + b"{}" + bytes(100))


def header_of_8_gigabytes(weights: Path) -> None:
    weights.write_bytes(struct.pack("<Q", 8 * 2**30) + b"{}" + bytes(100))


def tensor_beyond_the_file(weights: Path) -> None:
    entry = {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    header = json.dumps(entry).encode()
    weights.write_bytes(struct.pack("<Q", len(header)) + header)


def nothing_at_all(weights: Path) -> None:
    weights.write_bytes(b"")


HARMS = [
    pickle_for_weights,
    header_of_2_63_bytes,
    header_of_8_gigabytes,
    tensor_beyond_the_file,
    nothing_at_all,
]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("digest", ["former", "its own"])
def test_weights_that_are_none_are_refused(bundle: Path, harm: Harm, digest: str) -> None:
    weights = bundle / "model.safetensors"
    harm(weights)
    if digest == "its own":
        rewrite(bundle, weights_sha256=file_sha256(weights))

    manifest = read_manifest(bundle)
    with pytest.raises(BundleError), weights_checked(bundle, manifest):
        read_image_side(bundle, manifest)

    assert not (bundle.parent / "made").exists()


def test_link_out_of_the_bundle_to_other_weights_is_refused(bundle: Path, tmp_path: Path) -> None:
    weights = bundle / "model.safetensors"
    other = tmp_path / "other"
    other.write_bytes(weights.read_bytes() + b"x")
    weights.unlink()
    weights.symlink_to(other)

    with (
        pytest.raises(BundleError, match="altered"),
        weights_checked(bundle, read_manifest(bundle)),
    ):
        pass


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_weights_that_are_no_file_are_refused_without_waiting(bundle: Path, kind: str) -> None:
    weights = bundle / "model.safetensors"
    weights.unlink()
    if kind == "device":
        weights.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(weights)
    else:
        weights.mkdir()

    manifest = read_manifest(bundle)
    with pytest.raises(BundleError), weights_checked(bundle, manifest):
        pass
    # The tensors are read beside the digest, not after it.
    with pytest.raises(BundleError):
        read_image_side(bundle, manifest)


@pytest.mark.parametrize("key", ["weights", "model", "weights_path"])
def test_manifest_that_names_a_file_is_refused(bundle: Path, key: str) -> None:
    rewrite(bundle, **{key: "../../../etc/passwd"})

    with pytest.raises(BundleError, match="is not a manifest"):
        read_manifest(bundle)


def test_name_in_a_manifest_that_is_a_path_names_no_file(bundle: Path) -> None:
    before = sorted(bundle.parent.rglob("*"))
    rewrite(bundle, name="../escaped", version="../../escaped")

    manifest = read_manifest(bundle)
    with weights_checked(bundle, manifest):
        read_image_side(bundle, manifest)

    assert sorted(bundle.parent.rglob("*")) == before


@pytest.mark.parametrize("depth", [100, 100_000])
def test_manifest_without_end_is_refused(bundle: Path, depth: int) -> None:
    (bundle / "bundle.json").write_text("[" * depth)

    with pytest.raises(BundleError, match="is not a manifest"):
        read_manifest(bundle)


def rewrite(bundle: Path, **changes: Any) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
