"""A trained detector in the layout of the published ones, and in a bundle of its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.published.detector_conversion import with_detector
from mammoclip_core.published.detector_file import detector_plan
from training.bundles.bundle_copy import copy_bundle
from training.learning.finite import require_finite
from training.whole_file import whole_file


def write_detector(
    state: Mapping[str, Tensor], architecture: str, path: Path, average_precision: float
) -> None:
    """Write weights as ``mammoclip-predict convert --detector`` reads them.

    Parameters
    ----------
    state : of a `Detector` of one class
    average_precision : goes into the file as the score that it was chosen by
    """
    classes = 1
    plan = detector_plan(architecture, classes)
    content: dict[str, Any] = {
        "state_dict": {
            published: state[place.name].detach().cpu().clone() for published, place in plan.items()
        },
        "best_MAP": average_precision,
    }
    require_finite(content["state_dict"], str(path))
    with whole_file(path) as stream:
        torch.save(content, stream)


def bundle_with_detector(bundle: Path, finding: str, file: Path, out: Path) -> Manifest:
    """Write a bundle that reports a detector's boxes of a finding, and is else as another one.

    Raises
    ------
    CheckpointError
        The file is no detector of one class, or the bundle has one of the finding already.
    BundleError
        The bundle is incomplete or altered, or the output folder is in use.
    """
    manifest = read_manifest(bundle)
    sources = {**manifest.sources, f"detector {finding}": file_sha256(file)}
    changed, tensors = with_detector(replace(manifest, sources=sources), finding, file)
    return copy_bundle(bundle, out, changed, tensors)
