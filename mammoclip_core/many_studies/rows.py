"""Findings as rows of one flat table: what a row says, and of which type each column is."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mammoclip_core.findings import (
    DENSITY_CATEGORIES,
    Finding,
    ImageFindings,
    StudyFindings,
)

COLUMNS: Final[Mapping[str, type]] = {
    "study": str,
    "level": str,
    "file": str,
    "sop_instance_uid": str,
    "frame": int,
    "laterality": str,
    "view_position": str,
    "status": str,
    "reason": str,
    "finding": str,
    "class_of": str,
    "score": float,
    "threshold": float,
    "above_threshold": bool,
    "calibrated": bool,
    "source": str,
    "regions": int,
    "boxes": str,
    "density": str,
    "bundle": str,
    "bundle_version": str,
    "bundle_sha256": str,
    "warning": str,
    "engine": str,
    "settings_sha256": str,
}
"""The columns of a table of results. Empty where a row has nothing to say.

``level`` is ``image``, ``breast`` or ``study`` for an answer, ``file`` for a file that is not
used; ``boxes`` is JSON, one ``[left, top, right, bottom]`` in source pixels a region.
"""


def rows_of(study: str, findings: StudyFindings, files: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows of a study: of each image, of each breast, of the study.

    Parameters
    ----------
    study : as `mammoclip_core.many_studies.finding_files.FoundFile.study`
    files : path by SOP Instance UID
    """
    rows: list[dict[str, Any]] = []
    for image in findings.images:
        about = {
            "level": "image",
            "file": files.get(image.sop_instance_uid),
            "sop_instance_uid": image.sop_instance_uid,
            "frame": image.frame,
            "laterality": image.laterality,
            "view_position": image.view_position,
            "status": str(image.status),
            "reason": image.reason,
            "density": _density(image),
        }
        rows += _answers(about, [*_of(image.findings), *_density_scores(image)])
    for breast in findings.breasts:
        about = {"level": "breast", "laterality": breast.laterality, "density": breast.density}
        rows += _answers(about, _of(breast.findings))
    if findings.study:
        rows += _answers({"level": "study"}, _of(findings.study))
    return [{"study": study, **row} for row in rows]


def identity_of(findings: StudyFindings) -> dict[str, str]:
    """Return what every row of a run says of the bundle and of what computed."""
    bundle = findings.bundle
    return {
        "bundle": bundle.name,
        "bundle_version": bundle.version,
        "bundle_sha256": bundle.sha256,
        "warning": bundle.warning or "",
        "engine": str(findings.engine or ""),
        "settings_sha256": findings.settings_sha256,
    }


def _answers(about: dict[str, Any], answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each answer; one without, where there is none."""
    shown = {name: value for name, value in about.items() if value not in ("", None)}
    return [{**shown, **answer} for answer in answers] or [shown]


def _of(findings: Iterable[Finding]) -> Iterator[dict[str, Any]]:
    for finding in findings:
        answer: dict[str, Any] = {
            "finding": finding.name,
            "score": finding.score,
            "above_threshold": finding.above_threshold,
            "calibrated": finding.calibrated,
            "source": str(finding.source),
            "regions": len(finding.regions),
        }
        if finding.class_of:
            answer["class_of"] = finding.class_of
        if finding.threshold is not None:
            answer["threshold"] = finding.threshold
        if finding.regions:
            answer["boxes"] = json.dumps([region.box for region in finding.regions])
        yield answer


def _density_scores(image: ImageFindings) -> Iterator[dict[str, Any]]:
    for category, score in zip(DENSITY_CATEGORIES, image.density_scores, strict=False):
        yield {"finding": category, "class_of": "density", "score": score}


def _density(image: ImageFindings) -> str:
    if not image.density_scores:
        return ""
    return DENSITY_CATEGORIES[image.density_scores.index(max(image.density_scores))]
