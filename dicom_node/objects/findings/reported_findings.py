"""What of an answer counts as a finding: one rule, before any object is made."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dicom_node.objects.findings.outlines import crosses_itself, is_line
from dicom_node.objects.terms.wording import words_of
from mammoclip_core.findings import BreastFindings, Finding, ImageFindings, StudyFindings
from mammoclip_core.negative_classes import is_negative_class

MOST_REGIONS: Final = 100
"""Of one finding on one image: as many as a published detector reports boxes at most."""

LONGEST_REMARK: Final = 500
"""Characters of an image's remark: it stands in pictures too, and other programs may say more."""


def reported(findings: StudyFindings) -> StudyFindings:
    """Bring an answer under the rule that all objects rest upon, whoever made it.

    What is below its threshold is no finding: its score is listed in words and its regions are
    left out, which the remark of the image says. A negative class is never above a threshold,
    however high its share.
    """
    return replace(
        findings,
        images=tuple(map(_image, findings.images)),
        breasts=tuple(map(_breast, findings.breasts)),
        study=_all(findings.study),
    )


def has_finding(findings: StudyFindings) -> bool:
    """Tell whether anything is above its threshold: on an image, in a breast, or over all."""
    over_images = (image.findings for image in findings.analysed)
    over_breasts = (breast.findings for breast in findings.breasts)
    return any(
        finding.above_threshold
        for group in (*over_images, *over_breasts, findings.study)
        for finding in group
    )


def _image(image: ImageFindings) -> ImageFindings:
    kept = _all(image.findings)
    remarks = [_shortened(image.reason)] if image.reason else []
    for before, after in zip(image.findings, kept, strict=True):
        if before.regions and not after.regions:
            remarks.append(
                f"regions of {words_of(before.name)} are left out, since the score is below the "
                "threshold"
            )
    drawable = tuple(map(_drawable, kept))
    for before, after in zip(kept, drawable, strict=True):
        lines = len(before.regions) - len(after.regions)
        if lines:
            remarks.append(
                f"{lines} region{'s' if lines > 1 else ''} of {words_of(before.name)} "
                f"{'are' if lines > 1 else 'is'} left out, since "
                f"{'their outlines enclose' if lines > 1 else 'its outline encloses'} nothing"
            )
    bounded = tuple(map(_bounded, drawable))
    for before, after in zip(drawable, bounded, strict=True):
        surplus = len(before.regions) - len(after.regions)
        if surplus:
            remarks.append(
                f"of the regions of {words_of(before.name)} the {MOST_REGIONS} highest are shown, "
                f"{surplus} are left out"
            )
        crossing = sum(map(crosses_itself, after.regions))
        if crossing:
            remarks.append(
                f"the outline of {crossing} region{'s' if crossing > 1 else ''} of "
                f"{words_of(after.name)} crosses itself, and is drawn as it was given"
            )
    return replace(image, findings=bounded, reason="; ".join(remarks))


def _shortened(remark: str) -> str:
    return remark if len(remark) <= LONGEST_REMARK else f"{remark[: LONGEST_REMARK - 3]}..."


def _drawable(finding: Finding) -> Finding:
    """Leave out regions that are lines: they would look like a measured distance, or like nothing.

    The engines make none.
    """
    kept = tuple(region for region in finding.regions if not is_line(region))
    return replace(finding, regions=kept) if len(kept) < len(finding.regions) else finding


def _bounded(finding: Finding) -> Finding:
    """Keep the regions of the highest scores, in their order."""
    if len(finding.regions) <= MOST_REGIONS:
        return finding
    ranked = sorted(
        range(len(finding.regions)),
        key=lambda place: (-finding.regions[place].score, -finding.regions[place].activation),
    )
    kept = sorted(ranked[:MOST_REGIONS])
    return replace(finding, regions=tuple(finding.regions[place] for place in kept))


def _breast(breast: BreastFindings) -> BreastFindings:
    return replace(breast, findings=_all(breast.findings))


def _all(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(map(_finding, findings))


def _finding(finding: Finding) -> Finding:
    if is_negative_class(finding.name) and finding.above_threshold:
        class_set = finding.class_of or finding.name.rpartition(".")[0] or finding.name
        return replace(
            finding, above_threshold=False, threshold=None, regions=(), class_of=class_set
        )
    return finding if finding.above_threshold else replace(finding, regions=())
