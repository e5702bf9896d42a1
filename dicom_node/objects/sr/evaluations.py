"""The evaluations of a report: what is said of a study, a breast or an image, without a place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.findings.examination import examination_remarks
from dicom_node.objects.findings.lesions import lesion_sentences
from dicom_node.objects.findings.reported_findings import has_finding
from dicom_node.objects.frames import name_of
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.modules.report_modules import density_of, outcome_of
from dicom_node.objects.sr.observation_items import (
    algorithm_of,
    frames_of,
    image_of,
    site_of,
    tracking_of,
)
from dicom_node.objects.sr.told_apart import Answer, told_apart
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.scores import percent_of
from dicom_node.objects.terms.wording import (
    REGION_REMARK,
    RESEARCH_MARK,
    SCORE_REMARK,
    breast_of,
    side_of,
    summary_of,
    to_ascii,
    tracked_name_of,
    tracking_id_of,
    view_of,
    weights_text,
)
from mammoclip_core.findings import Finding, ImageFindings, ImageStatus, StudyFindings

_CONTAINS: Final = Relationship.CONTAINS


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationsBuilder:
    """Builds the Qualitative Evaluations of one study (TID 1500 row 12).

    A result without coordinates stands here and not in a measurement group: OHIF 3.13 opens no
    report that has such a group. Each says of which images and of which side it is.

    Attributes
    ----------
    sources : headers by SOP Instance UID
    """

    findings: StudyFindings
    sources: Mapping[str, Dataset]
    context: ResultContext

    def build(self) -> Item:
        """Return the container: the study first, then images and breasts, then words."""
        answers = [*self._study(), *self._scores(), *self._images(), *self._breasts()]
        return content_tree.container(
            _CONTAINS, codes.QUALITATIVE_EVALUATIONS, [*told_apart(answers), *self._words()]
        )

    def _study(self) -> Iterator[Answer]:
        yield Answer(concept=codes.PROCESSING_SUMMARY, value=_outcome_of(self.findings))
        density = density_of(self.findings)
        if density is not None:
            yield Answer(concept=codes.BREAST_COMPOSITION, value=codes.BREAST_COMPOSITIONS[density])

    def _scores(self) -> Iterator[Answer]:
        """Give one score of the examination and one of each breast, on either side of thresholds.

        They are no findings: their concept says whose score it is.
        """
        scores = self.context.scores
        if scores.examination is not None:
            images = self.findings.analysed
            sides = {image.laterality for image in images}
            side = "B" if len(sides) > 1 else ""
            yield self._score(codes.EXAMINATION_SCORE, scores.examination, side, images)
        for side, finding in scores.breasts.items():
            images = tuple(one for one in self.findings.analysed if one.laterality == side)
            yield self._score(codes.BREAST_SCORE, finding, side, images, breast_of(side))

    def _score(
        self,
        concept: Code,
        finding: Finding,
        side: str,
        images: Sequence[ImageFindings],
        owner: str = "",
    ) -> Answer:
        return Answer(
            concept=concept,
            value=codes.score_code_of(finding),
            children=[*self._basis(side, images, finding), _number(finding)],
            owner=owner,
            score=_score_text(finding),
        )

    def _images(self) -> Iterator[Answer]:
        """Tell findings without a place, and of the other images whether they were read."""
        for image in self.findings.images:
            if image.sop_instance_uid not in self.sources:
                continue
            if image.status is ImageStatus.FAILED:
                yield self._outcome(image, codes.NOT_SUCCEEDED)
            elif image.status is ImageStatus.ANALYSED:
                above = [finding for finding in image.findings if finding.above_threshold]
                if not above:
                    yield self._outcome(image, codes.SUCCEEDED_WITHOUT_FINDINGS)
                for finding in above:
                    if not finding.is_placed:
                        tracking = tracking_of(
                            self.context.uids.tracking_uid(name_of(image), finding),
                            tracking_id_of(image, finding),
                        )
                        yield self._finding(
                            finding, tracking, image.laterality, [image], view_of(image)
                        )

    def _breasts(self) -> Iterator[Answer]:
        for breast in self.findings.breasts:
            side = breast.laterality
            images = [image for image in self.findings.analysed if image.laterality == side]
            for finding in breast.findings:
                if finding.above_threshold:
                    tracking = tracking_of(
                        self.context.uids.tracking_uid(side, finding),
                        f"{side_of(side)} {tracked_name_of(finding)}",
                    )
                    yield self._finding(finding, tracking, side, images, breast_of(side))
            if breast.density is not None:
                yield Answer(
                    concept=codes.BREAST_COMPOSITION,
                    value=codes.BREAST_COMPOSITIONS[breast.density],
                    children=self._basis(side, images),
                    owner=breast_of(side),
                )

    def _outcome(self, image: ImageFindings, outcome: Code) -> Answer:
        return Answer(
            concept=codes.PROCESSING_SUMMARY,
            value=outcome,
            children=self._basis(image.laterality, [image]),
            owner=view_of(image),
        )

    def _finding(
        self,
        finding: Finding,
        tracking: Sequence[Item],
        laterality: str,
        images: Sequence[ImageFindings],
        owner: str,
    ) -> Answer:
        return Answer(
            concept=codes.FINDING,
            value=codes.score_code_of(finding),
            children=[*tracking, *self._basis(laterality, images, finding), _number(finding)],
            owner=owner,
            score=_score_text(finding),
        )

    def _basis(
        self, laterality: str, images: Sequence[ImageFindings], finding: Finding | None = None
    ) -> list[Item]:
        """Return the breast, the weights and the images that an answer is of."""
        return [
            site_of(laterality),
            *algorithm_of(self.context, self.findings, finding),
            *map(self._evidence, images),
        ]

    def _evidence(self, image: ImageFindings) -> Item:
        source = self.sources[image.sop_instance_uid]
        frames = frames_of(source, image)
        return image_of(Relationship.INFERRED_FROM, codes.SOURCE_OF_MEASUREMENT, source, frames)

    def _words(self) -> Iterator[Item]:
        narrative = _narrative(self.context.identity)
        yield content_tree.text(_CONTAINS, codes.NARRATIVE_SUMMARY, narrative)
        for text in _comments(self.findings, self.sources, self.context):
            yield content_tree.text(_CONTAINS, codes.COMMENT, text)


def _number(finding: Finding) -> Item:
    return content_tree.floating_number(
        Relationship.HAS_PROPERTIES,
        codes.score_name_of(finding),
        percent_of(finding),
        codes.PERCENT,
    )


def _score_text(finding: Finding) -> str:
    return f"{percent_of(finding)} {codes.PERCENT.value}"


def _outcome_of(findings: StudyFindings) -> Code:
    return outcome_of(
        found=has_finding(findings), succeeded=bool(findings.analysed), failed=findings.is_partial
    )


def _narrative(identity: ResultIdentity) -> str:
    warning = f" {to_ascii(identity.warning)}" if identity.warning else ""
    return f"{RESEARCH_MARK}.{warning}"


def _comments(
    findings: StudyFindings,
    sources: Mapping[str, Dataset],
    context: ResultContext,
) -> Iterator[str]:
    yield f"{SCORE_REMARK} {REGION_REMARK}"
    yield from (f"{line}." for line in context.scores.lines())
    if findings.study:
        yield f"Study: {summary_of(findings.study)}."
    for breast in findings.breasts:
        density = f"; density {breast.density}" if breast.density else ""
        yield f"{side_of(breast.laterality).capitalize()}: {summary_of(breast.findings)}{density}."
    for image in findings.analysed:
        yield f"{view_of(image)}: {summary_of(image.findings) or 'no scores'}."
    yield from lesion_sentences(findings.analysed, context.lesions)
    yield from examination_remarks(findings, sources)
    yield weights_text(context.identity)
