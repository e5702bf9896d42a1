"""What the parts of a findings document must not say of each other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mammoclip_core.findings import Finding, ImageFindings, StudyFindings
from mammoclip_core.lesion_numbers import require_lesions

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")

_MEAN: Final = re.compile(r"\b(mean|average|median)", re.IGNORECASE)
_ROUNDING: Final = 0.005
"""How far scores may be apart that one program rounds to two digits."""


def require_one_meaning(findings: StudyFindings) -> None:
    """Make sure that nothing is answered twice, and that breasts and lesions are of the images.

    A score over breasts or images is below none of theirs, unless its aggregation is a mean. A
    breast without an aggregation may have any score: documents did not always tell. Of a class set
    the class of the highest share is the finding, or none is.

    Raises
    ------
    ValueError
        Naming what contradicts what.
    """
    digests = {
        "sha256 of the bundle": findings.bundle.sha256,
        "settings_sha256": findings.settings_sha256,
    }
    for name, digest in digests.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{name} is {digest!r:.60}, not 64 hexadecimal digits")
    require_lesions(findings.images)
    for image in findings.analysed:
        _require_classes(image)
    analysed = {image.laterality for image in findings.analysed}
    sides = [breast.laterality for breast in findings.breasts]
    for breast in findings.breasts:
        name = f"breast {breast.laterality!r}"
        if sides.count(breast.laterality) > 1:
            raise ValueError(f"{name} has two answers")
        if breast.laterality not in analysed:
            raise ValueError(f"{name} has an answer, but no analysed image is of it")
        _require_answers(name, breast.findings)
        own = [image for image in findings.analysed if image.laterality == breast.laterality]
        parts = _answers_of(own)
        for finding in breast.findings:
            if finding.aggregation:
                _require_score(name, finding, parts)
    _require_answers("the study", findings.study)
    parts = {f"breast {one.laterality!r}": one.findings for one in findings.breasts}
    parts = parts or _answers_of(findings.analysed)
    for finding in findings.study:
        _require_score("the study", finding, parts)


def _require_classes(image: ImageFindings) -> None:
    """Make sure that of the classes of a set none is above its threshold but the highest."""
    for one in image.findings:
        for other in image.findings if one.class_of and one.above_threshold else ():
            is_of_one_answer = (other.class_of, other.frame) == (one.class_of, one.frame)
            if is_of_one_answer and other.score > one.score:
                raise ValueError(
                    f"image {image.sop_instance_uid}: of the class set {one.class_of} {one.name} "
                    f"is above its threshold, and {other.name} is higher"
                )


def _require_answers(owner: str, findings: Iterable[Finding]) -> None:
    """Make sure that each finding of a breast or study is there once, and has no place."""
    seen: set[str] = set()
    for finding in findings:
        if finding.name in seen:
            raise ValueError(f"{owner} has two answers for {finding.name}")
        seen.add(finding.name)
        if finding.regions:
            raise ValueError(f"{owner}: {finding.name} has regions, which belong to images")


def _answers_of(images: Iterable[ImageFindings]) -> dict[str, tuple[Finding, ...]]:
    return {f"image {image.sop_instance_uid}": image.findings for image in images}


def _require_score(owner: str, finding: Finding, parts: Mapping[str, Sequence[Finding]]) -> None:
    """Make sure that a score over parts, if it is not their mean, is below none of theirs."""
    if _MEAN.search(finding.aggregation):
        return
    for part, findings in parts.items():
        for one in findings:
            if one.name == finding.name and finding.score < one.score - _ROUNDING:
                raise ValueError(
                    f"{owner}: {finding.name} has {finding.score:g}, below the {one.score:g} of "
                    f"{part}; only a mean is: then say so in its aggregation"
                )
