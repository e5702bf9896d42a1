"""The Mammography CAD report of a study, for mammography workstations (TID 4000)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import MAMMOGRAPHY_CAD_SR, ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.cad_sr import codes as cad_codes
from dicom_node.objects.cad_sr.image_library import build_entries
from dicom_node.objects.cad_sr.impressions import (
    algorithm_items,
    certainty_of_impression,
    composition_impression,
    lesion_impression,
    mark_impression,
)
from dicom_node.objects.cad_sr.marks import Mark, by_lesion, concept_of, is_detection, marks_of
from dicom_node.objects.cad_sr.options import DEFAULT_CAD_OPTIONS, CadOptions, CompositionForm
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme, use_legacy_codes
from dicom_node.objects.cad_sr.summaries import ANALYSES, DETECTIONS, summary_item
from dicom_node.objects.cad_sr.unplaced import unplaced_of
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.findings.examination import examination_remarks
from dicom_node.objects.findings.lesions import lesion_sentences
from dicom_node.objects.frames import ImageKey, key_of
from dicom_node.objects.modules.report_modules import complete_report, density_of, outcome_of
from dicom_node.objects.products import Product
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.wording import (
    REGION_REMARK,
    RESEARCH_MARK,
    SCORE_REMARK,
    SHARED_SCORE_REMARK,
    side_of,
    to_ascii,
    weights_text,
)
from mammoclip_core.findings import ImageFindings, ImageStatus, ScoreOf, StudyFindings

_TEMPLATE: Final = "4000"


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one report for each choice of its codes and marks."""
    kind = ResultKind.CAD_REPORT
    for options in dict.fromkeys(profile.cad for profile in study.profiles_with(kind)):
        yield PlannedObject(
            product=Product(kind=kind, variant=options.variant),
            build=partial(_report, study, options),
        )


def build_cad_report(
    sources: Mapping[str, Dataset],
    findings: StudyFindings,
    context: ResultContext,
    *,
    options: CadOptions = DEFAULT_CAD_OPTIONS,
) -> Dataset:
    """Write the report that a mammography workstation draws its marks from.

    Parameters
    ----------
    sources : headers by SOP Instance UID
        An image that was left out may be absent: it is named in words.

    Raises
    ------
    ObjectRefusedError
        No image was analysed and none failed, or an outline lies outside its image.

    References
    ----------
    PS3.16 TID 4000; PS3.3 A.35.5; PS3.4 O.2.2.1.
    """
    images = tuple(
        image
        for image in findings.images
        if image.status is not ImageStatus.LEFT_OUT and image.sop_instance_uid in sources
    )
    if not images:
        raise ObjectRefusedError(f"no image of study {findings.study_instance_uid} was analysed")
    entries = build_entries(images, sources, options.spacing_unit)
    root = _Document(
        images=images,
        entries=entries,
        marks=marks_of(findings, sources, options.plain_mark),
        findings=findings,
        sources=sources,
        context=context,
        options=options,
    ).tree()
    report = content_tree.assembled(root)
    if options.coding is CodingScheme.SRT:
        use_legacy_codes(report)

    report.SOPClassUID = MAMMOGRAPHY_CAD_SR
    complete_report(
        report,
        ResultKind.CAD_REPORT,
        options.variant,
        context,
        sources={uid: sources[uid] for uid, _ in entries},
        findings=findings,
        evidence=(),
    )
    return report


def _report(study: AnalysedStudy, options: CadOptions) -> Dataset:
    return build_cad_report(
        study.library(),
        study.analysis.findings,
        study.context,
        options=options,
    )


class _Document:
    """The content of one report, heading by heading in the order of the template."""

    def __init__(
        self,
        *,
        images: Sequence[ImageFindings],
        entries: Mapping[ImageKey, Item],
        marks: Sequence[Mark],
        findings: StudyFindings,
        sources: Mapping[str, Dataset],
        context: ResultContext,
        options: CadOptions,
    ) -> None:
        self._sources = sources
        self._entries = entries
        self._marks = marks
        self._findings = findings
        self._context = context
        self._options = options
        self._density = density_of(findings)
        self._unplaced = unplaced_of(findings)
        self._good = self._entries_of(images, ImageStatus.ANALYSED)
        self._bad = self._entries_of(images, ImageStatus.FAILED)

    def tree(self) -> Item:
        """Return the whole tree."""
        return content_tree.container(
            Relationship.CONTAINS,
            cad_codes.CAD_REPORT,
            [
                # The language stands first (TID 1204): with it the Image Library is 1\2.
                content_tree.code(
                    Relationship.HAS_CONCEPT_MOD, codes.LANGUAGE_OF_CONTENT, codes.LANGUAGE
                ),
                content_tree.container(
                    Relationship.CONTAINS, codes.IMAGE_LIBRARY, list(self._entries.values())
                ),
                self._overall(),
                self._detections(),
                self._analyses(),
            ],
            template=_TEMPLATE,
        )

    def _entries_of(self, images: Sequence[ImageFindings], status: ImageStatus) -> list[Item]:
        return [self._entries[key_of(image)] for image in images if image.status is status]

    def _overall(self) -> Item:
        """State the outcome in a code and in words, with the impressions below it (TID 4001)."""
        impressions = list(self._impressions())
        outcome = outcome_of(
            found=bool(impressions or self._unplaced),
            succeeded=bool(self._good),
            failed=bool(self._bad),
        )
        words = content_tree.text(
            Relationship.HAS_PROPERTIES, cad_codes.IMPRESSION_DESCRIPTION, self._words()
        )
        certainty = [certainty_of_impression(one.finding) for one in self._unplaced[:1]]
        return content_tree.code(
            Relationship.CONTAINS,
            codes.PROCESSING_SUMMARY,
            outcome,
            [words, *certainty, *algorithm_items(self._context), *impressions],
        )

    def _impressions(self) -> Iterator[Item]:
        for marks in by_lesion(self._marks):
            if len(marks) == 1:
                yield mark_impression(marks[0], self._entries, self._context)
            else:
                yield lesion_impression(marks, self._entries, self._context)
        if self._density is not None and self._options.composition is CompositionForm.CODED:
            yield composition_impression(self._density, self._context)

    def _words(self) -> str:
        sentences = [f"{RESEARCH_MARK}."]
        if self._context.identity.warning:
            sentences.append(f"{to_ascii(self._context.identity.warning).rstrip('.')}.")
        sentences += [f"{line}." for line in self._context.scores.lines()]
        sentences += [one.sentence for one in self._unplaced]
        if self._unplaced:
            sentences.append("The certainty of this impression is the first of these scores.")

        sentences += [
            f"Density of the {side_of(breast.laterality)} breast: BI-RADS {breast.density}."
            for breast in self._findings.breasts
            if breast.density is not None
        ]
        sentences += lesion_sentences(self._findings.analysed, self._context.lesions)
        sentences += examination_remarks(self._findings, self._sources)
        if any(mark.region.score_of is ScoreOf.FINDING for mark in self._marks):
            sentences.append(SHARED_SCORE_REMARK)
        sentences += [SCORE_REMARK, REGION_REMARK, weights_text(self._context.identity)]
        return " ".join(sentences)

    def _detections(self) -> Item:
        looked_for = dict.fromkeys(
            concept_of(finding, self._options.plain_mark)
            for image in self._findings.analysed
            for finding in image.findings
            if is_detection(finding)
        )
        # Where no image could be read, nobody knows what would have been looked for.
        tried = list(looked_for) if self._good else [cad_codes.BREAST_DENSITY_MARK]
        return summary_item(
            DETECTIONS,
            tried,
            self._context,
            good=self._good,
            bad=self._bad,
            with_operating_points=any(mark.operating_point for mark in self._marks),
        )

    def _analyses(self) -> Item:
        return summary_item(
            ANALYSES,
            [] if self._density is None else [cad_codes.BREAST_COMPOSITION_ANALYSIS],
            self._context,
            good=self._good,
            bad=self._bad,
        )
