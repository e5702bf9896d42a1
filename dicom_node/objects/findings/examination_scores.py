"""One score for the examination and one for each breast, in the words that all objects use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicom_node.objects.terms.codes import DISEASE_NAMES
from dicom_node.objects.terms.wording import breast_of, standing_text, to_ascii, words_of
from mammoclip_core.findings import Finding, StudyFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminationScores:
    """The scores of one finding over the examination and over each breast.

    Attributes
    ----------
    examination : None where the answer has no score over the examination
    breasts : by laterality, in the order of the answer
    """

    examination: Finding | None = None
    breasts: Mapping[str, Finding] = field(default_factory=dict)

    def lines(self) -> tuple[str, ...]:
        """Say each score with its operating point and how it comes from those below it."""
        owners = [("Examination", self.examination)] if self.examination else []
        owners += [
            (breast_of(side).capitalize(), finding) for side, finding in self.breasts.items()
        ]
        return tuple(_line(owner, finding) + _aggregation_of(finding) for owner, finding in owners)

    def banner(self, *sides: str) -> tuple[str, ...]:
        """Say the score of the examination, and of the breasts that a picture shows, in short."""
        lines = [_line("Examination", self.examination)] if self.examination else []
        lines += [
            _line(breast_of(side).capitalize(), finding)
            for side, finding in self.breasts.items()
            if side in sides
        ]
        return tuple(lines)

    def comment(self, *sides: str) -> str:
        """Say in sentences what `banner` says; empty where there are no scores."""
        return " ".join(f"{line}." for line in self.banner(*sides))


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
    )


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


def _line(owner: str, finding: Finding) -> str:
    return f"{owner}: {words_of(finding.name)} {standing_text(finding)}"
