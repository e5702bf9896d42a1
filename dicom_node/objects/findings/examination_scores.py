"""One score for the examination and one for each breast, in the words that all objects use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dicom_node.objects.terms.codes import DISEASE_NAMES
from dicom_node.objects.terms.scores import standing_text
from dicom_node.objects.terms.wording import breast_of, to_ascii, words_of
from mammoclip_core.findings import Finding, ImageStatus, StudyFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminationScores:
    """The scores of one finding over the examination and over each breast.

    Attributes
    ----------
    examination : None where the answer has no score over the examination
    breasts : by laterality, in the order of the answer
    shortfalls : by laterality, None for the examination: how many of its images failed
        A score that rests on a part of the images must not be read as one of all.
    """

    examination: Finding | None = None
    breasts: Mapping[str, Finding] = field(default_factory=dict)
    shortfalls: Mapping[str | None, str] = field(default_factory=dict)

    def lines(self) -> tuple[str, ...]:
        """Say each score with its operating point and how it comes from those below it."""
        return tuple(
            self._line(side, finding) + _aggregation_of(finding) for side, finding in self._scores()
        )

    def banner(self, *sides: str) -> tuple[str, ...]:
        """Say the score of the examination, and of the breasts that a picture shows, in short."""
        return tuple(
            self._line(side, finding)
            for side, finding in self._scores()
            if side is None or side in sides
        )

    def comment(self, *sides: str) -> str:
        """Say in sentences what `banner` says; empty where there are no scores."""
        return " ".join(f"{line}." for line in self.banner(*sides))

    def _scores(self) -> Iterator[tuple[str | None, Finding]]:
        """Yield the score of the examination, without a side, and then those of breasts."""
        if self.examination is not None:
            yield None, self.examination
        yield from self.breasts.items()

    def _line(self, side: str | None, finding: Finding) -> str:
        owner = "Examination" if side is None else breast_of(side).capitalize()
        owner += self.shortfalls.get(side, "")
        return f"{owner}: {words_of(finding.name)} {standing_text(finding)}"


def examination_scores(findings: StudyFindings) -> ExaminationScores:
    """Choose the finding that speaks for the examination, and gather its scores.

    That is malignancy, or cancer, where the model answers it, else the finding of the highest
    score. A class of a class set never does: shares of classes are no scale of suspicion.
    """
    over_breasts = [finding for breast in findings.breasts for finding in breast.findings]
    name = _leading(findings.study) or _leading(over_breasts)
    if name is None:
        return ExaminationScores()
    return ExaminationScores(
        examination=_named(name, findings.study),
        breasts={
            breast.laterality: finding
            for breast in findings.breasts
            if (finding := _named(name, breast.findings)) is not None
        },
        shortfalls=dict(_shortfalls(findings)),
    )


def _shortfalls(findings: StudyFindings) -> Iterator[tuple[str | None, str]]:
    """Say of the examination and of each breast how many of its images failed, where one did."""
    for side in (None, *(breast.laterality for breast in findings.breasts)):
        by_status: dict[ImageStatus, set[str]] = {}
        for image in findings.images:
            if side is None or image.laterality == side:
                by_status.setdefault(image.status, set()).add(image.sop_instance_uid)
        failed = len(by_status.get(ImageStatus.FAILED, ()))
        if failed:
            tried = failed + len(by_status.get(ImageStatus.ANALYSED, ()))
            yield side, f", {failed} of {tried} images failed"


def _leading(findings: Sequence[Finding]) -> str | None:
    scored = [finding for finding in findings if not finding.class_of]
    of_disease = [finding for finding in scored if finding.name in DISEASE_NAMES]
    highest = max(of_disease or scored, key=lambda finding: finding.score, default=None)
    return None if highest is None else highest.name


def _named(name: str, findings: Sequence[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.name == name), None)


def _aggregation_of(finding: Finding) -> str:
    words = to_ascii(finding.aggregation, 64)
    return f" ({words})" if words else ""
