"""From images to breasts, from breasts to the study: the highest score or the mean."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np

from mammoclip_core.findings import (
    DENSITY_CATEGORIES,
    BreastFindings,
    Finding,
    ImageFindings,
    ImageStatus,
)
from mammoclip_core.manifest import MEAN_AGGREGATION, FindingEntry

HIGHEST_OF_IMAGES: Final = "highest of its images"
MEAN_OF_IMAGES: Final = "mean of its images"
HIGHEST_OF_BREASTS: Final = "highest of the breasts"

_LATERALITY_ORDER: Final = ("R", "L", "B", "")


def breasts_of(
    images: Iterable[ImageFindings], entries: Iterable[FindingEntry] = ()
) -> tuple[BreastFindings, ...]:
    """Gather the analysed images of each breast.

    Parameters
    ----------
    entries : the bundle's findings
        Those whose `aggregation` is ``mean`` score a breast by the mean over its images, as the
        published evaluation on RSNA does; the others by the highest.

    Returns
    -------
    tuple of BreastFindings
        Right, left, both in one image, and unknown, each where there is one. Density is the
        category of the highest mean score.
    """
    averaged = {entry.name: entry for entry in entries if entry.aggregation == MEAN_AGGREGATION}
    analysed = [image for image in images if image.status is ImageStatus.ANALYSED]
    return tuple(
        BreastFindings(
            laterality=laterality,
            findings=tuple(
                _averaged(highest, averaged[highest.name], group)
                if highest.name in averaged
                else highest
                for highest in _highest(
                    (finding for image in group for finding in image.findings), HIGHEST_OF_IMAGES
                )
            ),
            density=_density_of(group),
        )
        for laterality in _LATERALITY_ORDER
        if (group := [image for image in analysed if image.laterality == laterality])
    )


def study_of(breasts: Iterable[BreastFindings]) -> tuple[Finding, ...]:
    """Gather the breasts of a study: the highest score of each finding."""
    return _highest(
        (finding for breast in breasts for finding in breast.findings), HIGHEST_OF_BREASTS
    )


def _highest(findings: Iterable[Finding], aggregation: str) -> tuple[Finding, ...]:
    highest: dict[str, Finding] = {}
    for finding in findings:
        known = highest.get(finding.name)
        if known is None or finding.score > known.score:
            highest[finding.name] = replace(finding, regions=(), frame=1, aggregation=aggregation)
    return tuple(highest.values())


def _averaged(highest: Finding, entry: FindingEntry, images: Iterable[ImageFindings]) -> Finding:
    scores = [
        finding.score
        for image in images
        for finding in image.findings
        if finding.name == entry.name
    ]
    score = min(float(np.mean(scores)), 1.0)
    return replace(
        highest,
        score=score,
        above_threshold=score >= entry.threshold,
        aggregation=MEAN_OF_IMAGES,
    )


def _density_of(images: Iterable[ImageFindings]) -> str | None:
    scores = [image.density_scores for image in images if image.density_scores]
    if not scores:
        return None
    return DENSITY_CATEGORIES[int(np.argmax(np.mean(scores, axis=0)))]
