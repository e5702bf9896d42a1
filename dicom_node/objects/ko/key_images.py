"""The images with findings as a Key Object Selection, which archives show as a flag."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.ko.key_object_document import key_object_document
from dicom_node.objects.products import Product
from dicom_node.objects.references import references_to
from dicom_node.objects.sr.observation_items import frames_of
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.wording import RESEARCH_MARK, to_ascii, view_of
from mammoclip_core.findings import ImageFindings


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one selection, if an image has a finding above its threshold."""
    images = [
        image
        for image in study.analysis.findings.analysed
        if any(finding.above_threshold for finding in image.findings)
    ]
    if images:
        yield PlannedObject(
            product=Product(kind=ResultKind.KEY_IMAGES),
            build=partial(build_key_images, study.headers(), images, study.context),
        )


def build_key_images(
    sources: Mapping[str, Dataset], images: Sequence[ImageFindings], context: ResultContext
) -> Dataset:
    """Name the images with findings, titled "Of Interest".

    Parameters
    ----------
    sources : headers by SOP Instance UID
    images : one or more, of a multi-frame image each frame
    """
    named = {image.sop_instance_uid: sources[image.sop_instance_uid] for image in images}
    first = next(iter(named.values()))
    views = ", ".join(view_of(image) for image in images)
    scores = context.scores.comment(*context.scores.breasts)
    return key_object_document(
        first,
        ResultKind.KEY_IMAGES,
        context,
        title=codes.OF_INTEREST,
        description=to_ascii(f"{RESEARCH_MARK}. Software reports findings on {views}. {scores}"),
        references=[_reference(sources[image.sop_instance_uid], image) for image in images],
        evidence=references_to(context.uids.study_instance_uid, list(named.values())),
    )


def _reference(source: Dataset, image: ImageFindings) -> Item:
    # Its row has no name of a purpose (TID 2010): the title says it.
    return content_tree.image(
        Relationship.CONTAINS,
        str(source.SOPClassUID),
        str(source.SOPInstanceUID),
        frames_of(source, image),
    )
