"""From images to breasts, from breasts to the study: the highest score speaks."""

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

_LATERALITY_ORDER: Final = ("R", "L", "B", "")


def breasts_of(images: Iterable[ImageFindings]) -> tuple[BreastFindings, ...]:
    """Gather the analysed images of each breast.

    Returns
    -------
    tuple of BreastFindings
        Right, left, both in one image, and unknown, each where there is one. A finding's score
        is the highest over the images; density is the category of the highest mean score.
    """
    analysed = [image for image in images if image.status is ImageStatus.ANALYSED]
    return tuple(
        BreastFindings(
            laterality=laterality,
            findings=_highest(finding for image in group for finding in image.findings),
            density=_density_of(group),
        )
        for laterality in _LATERALITY_ORDER
        if (group := [image for image in analysed if image.laterality == laterality])
    )


def study_of(breasts: Iterable[BreastFindings]) -> tuple[Finding, ...]:
    """Gather the breasts of a study: the highest score of each finding."""
    return _highest(finding for breast in breasts for finding in breast.findings)


def _highest(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    highest: dict[str, Finding] = {}
    for finding in findings:
        known = highest.get(finding.name)
        if known is None or finding.score > known.score:
            highest[finding.name] = replace(finding, regions=(), frame=1)
    return tuple(highest.values())


def _density_of(images: Iterable[ImageFindings]) -> str | None:
    scores = [image.density_scores for image in images if image.density_scores]
    if not scores:
        return None
    return DENSITY_CATEGORIES[int(np.argmax(np.mean(scores, axis=0)))]
