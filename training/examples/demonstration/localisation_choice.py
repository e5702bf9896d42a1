"""How the demonstration finds places: by what points best at lesions that nothing learned from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Final

from mammoclip_core.manifest import Manifest, read_manifest, write_manifest
from mammoclip_core.networks.mammo_factor import factor_name
from training.bundles.bundle_copy import copy_bundle
from training.examples.demonstration.answers import (
    CLASS_ACTIVATION,
    FACTOR,
    Answers,
    Way,
    answers_of,
)
from training.examples.demonstration.phantom_images import TrueImage
from training.factor.feature_maps import FeatureMaps
from training.factor.localisation import LARGE_MM, LocalisedImage, pointing_hits

TOP_CHANNELS: Final = (3, 10, 30, 100, 200, 300, 450, 640)
"""Numbers of channels that are tried; the paper's is the first."""


def pointing_share(images: list[LocalisedImage], least_mm: float = LARGE_MM) -> float:
    """Return how often the highest cell lies in a lesion of some size, of images with one."""
    hits, _ = pointing_hits(images, least_mm)
    return sum(hits) / max(len(hits), 1)


def with_best_channels(
    bundle: Path, maps: FeatureMaps, truth: list[TrueImage]
) -> dict[int, dict[str, float]]:
    """Set the number of channels that points best, finding by finding, in a bundle's manifest.

    Returns
    -------
    dict
        The share that each number points rightly at, by finding.
    """
    manifest = read_manifest(bundle)
    large = [
        place
        for place, item in enumerate(truth)
        if any(lesion.size_mm >= LARGE_MM for lesion in item.lesions)
    ]
    shown, true = maps[large], [truth[place] for place in large]
    tried: dict[int, dict[str, float]] = {}
    for count in TOP_CHANNELS:
        entries = tuple(replace(entry, top_channels=count) for entry in manifest.factor)
        write_manifest(replace(manifest, factor=entries), bundle)
        tried[count] = shares_of(answers_of(bundle, shown, true), FACTOR)
    best = {
        entry.finding: max(TOP_CHANNELS, key=lambda count: tried[count][entry.finding])
        for entry in manifest.factor
    }
    chosen = tuple(replace(entry, top_channels=best[entry.finding]) for entry in manifest.factor)
    write_manifest(replace(manifest, factor=chosen), bundle)
    return tried


def shares_of(answers: Answers, method: str) -> dict[str, float]:
    """Return how often a method points rightly, by finding."""
    return {
        way.finding: pointing_share(images)
        for way, images in answers.localised.items()
        if way.method == method
    }


def keep_the_better(bundle: Path, answers: Sequence[Answers], out: Path) -> Manifest:
    """Write a bundle without the Mammo-FActOR weights that point worse than class activation.

    Parameters
    ----------
    answers : of the bundle, on the images of one seed each; the mean over the seeds counts
    """

    def share(method: str, finding: str) -> float:
        way = Way(method, finding)
        return fmean(pointing_share(one.localised[way]) for one in answers)

    manifest = read_manifest(bundle)
    left = [
        entry.finding
        for entry in manifest.factor
        if share(FACTOR, entry.finding) < share(CLASS_ACTIVATION, entry.finding)
    ]
    kept = tuple(entry for entry in manifest.factor if entry.finding not in left)
    return copy_bundle(
        bundle,
        out,
        replace(manifest, factor=kept),
        {},
        without=tuple(factor_name(finding, "") for finding in left),
    )
