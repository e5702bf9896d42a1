"""What a CAD report says of findings that the model gave no place."""

from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.objects.terms.scores import standing_text
from dicom_node.objects.terms.wording import side_of, view_of, words_of
from mammoclip_core.findings import Finding, ImageFindings, StudyFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A finding above its threshold, of which no region shows where it lies.

    Attributes
    ----------
    owner : the examination, a breast or a view, in words
    """

    owner: str
    finding: Finding

    @property
    def sentence(self) -> str:
        """Say it without claiming a place."""
        return (
            f"{self.owner}: {words_of(self.finding.name)} {standing_text(self.finding)}; "
            "the model gives no place."
        )


def unplaced_of(findings: StudyFindings) -> tuple[Unplaced, ...]:
    """Return what no mark can tell: of the examination first, then of breasts, then of images.

    A single image finding must have a centre (TID 4006 row 8), and an individual impression a
    single image finding (TID 4003): what has no place stands at the overall impression.
    """
    return tuple(_unplaced(findings))


def _unplaced(findings: StudyFindings) -> Iterator[Unplaced]:
    for finding in findings.study:
        if finding.above_threshold and not _is_placed(finding, findings.analysed):
            yield Unplaced(owner="Examination", finding=finding)
    for breast in findings.breasts:
        images = [image for image in findings.analysed if image.laterality == breast.laterality]
        for finding in breast.findings:
            if finding.above_threshold and not _is_placed(finding, images):
                yield Unplaced(owner=side_of(breast.laterality).capitalize(), finding=finding)
    for image in findings.analysed:
        for finding in image.findings:
            if finding.above_threshold and not finding.is_placed:
                yield Unplaced(owner=view_of(image), finding=finding)


def _is_placed(finding: Finding, images: tuple[ImageFindings, ...] | list[ImageFindings]) -> bool:
    return any(
        own.is_placed for image in images for own in image.findings if own.name == finding.name
    )
