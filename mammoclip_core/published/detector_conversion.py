"""A published detector added to a bundle that is being made."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from mammoclip_core.bundles.tensors import detector_prefix
from mammoclip_core.errors import CheckpointError
from mammoclip_core.findings import BOX_THRESHOLD, FindingSource
from mammoclip_core.lexicon import MASS, SUSPICIOUS_CALCIFICATION
from mammoclip_core.manifest import DetectorEntry, FindingEntry, Manifest
from mammoclip_core.networks.heads import HEAD_FINDINGS
from mammoclip_core.published.detector_file import read_detector


def with_detector(manifest: Manifest, name: str, path: Path) -> tuple[Manifest, dict[str, Tensor]]:
    """Add a detector to a manifest, and return its tensors under the bundle's names.

    A head decides whether the finding is present, since detectors were trained only on images
    that show it; the detector gives its place. Without a head the highest box decides.

    Raises
    ------
    CheckpointError
        The file is refused, has several classes, or the finding is unknown or has a detector.
    """
    finding = require_no_detector(manifest, name)
    file = read_detector(path)
    if file.classes != 1:
        raise CheckpointError(f"{path.name} has {file.classes} classes; published ones have one")
    known = {entry.name: entry for entry in manifest.findings}
    entry = known.get(finding.name, replace(finding, prompts=()))
    if entry.source is not FindingSource.HEAD:
        entry = replace(entry, source=FindingSource.DETECTOR, head=name, threshold=BOX_THRESHOLD)
    known[finding.name] = entry
    detector = DetectorEntry(
        name=name,
        finding=finding.name,
        architecture=file.architecture,
        mean_average_precision=file.mean_average_precision,
    )
    prefix = detector_prefix(name)
    return (
        replace(
            manifest,
            findings=tuple(known.values()),
            detectors=(*manifest.detectors, detector),
        ),
        {prefix + key: value for key, value in file.state.items()},
    )


def require_no_detector(manifest: Manifest, name: str) -> FindingEntry:
    """Return the finding that a detector can be added for.

    Parameters
    ----------
    name : mass or calcification

    Raises
    ------
    CheckpointError
        The finding is another, or the bundle has a detector of it.
    """
    finding = HEAD_FINDINGS.get(name)
    if finding not in {MASS, SUSPICIOUS_CALCIFICATION} or finding is None:
        raise CheckpointError(f"detector {name!r} is neither mass nor calcification")
    if manifest.detector_of(finding) is not None:
        raise CheckpointError(
            f"{manifest.name} {manifest.version} has a detector of {finding.name} already: two "
            "detectors would find the same"
        )
    return finding
