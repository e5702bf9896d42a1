"""The heatmaps of one instance as a fractional Segmentation, for viewers that can lay it over."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.analysed_study import AnalysedStudy, PlannedObject, ResultObject
from dicom_node.objects.context import ResultContext
from dicom_node.objects.drawing.overlay import heatmaps_of, raise_to, shown_heatmaps
from dicom_node.objects.frames import key_of, name_of
from dicom_node.objects.products import Product
from dicom_node.objects.seg.segmentation_modules import (
    FULL,
    LABEL_LENGTH,
    SegmentationType,
    segment_of,
    segmentation_of,
)
from dicom_node.objects.terms.wording import (
    tracking_id_of,
    words_of,
)
from mammoclip_core.findings import Finding, Heatmap, ImageFindings

_BEGINNING: Final = "AI attention, relative, no probability: "


def plan(study: AnalysedStudy, _before: Sequence[ResultObject]) -> Iterator[PlannedObject]:
    """Plan one segmentation of each instance with a heatmap of a finding above its threshold."""
    for number, (uid, images) in enumerate(study.by_instance().items(), start=1):
        heatmaps = [
            heatmap
            for image in images
            for heatmap in shown_heatmaps(image, heatmaps_of(image, study.analysis.heatmaps))
            if _is_seen(heatmap, study.by_uid[uid].dataset)
        ]
        if heatmaps:
            source = study.by_uid[uid].dataset
            yield PlannedObject(
                product=Product(kind=ResultKind.ATTENTION_SEGMENTATION),
                build=partial(
                    build_attention_segmentation, source, images, heatmaps, number, study.context
                ),
                source_sop_instance_uid=uid,
            )


def build_attention_segmentation(
    source: Dataset,
    images: Sequence[ImageFindings],
    heatmaps: Sequence[Heatmap],
    image_number: int,
    context: ResultContext,
) -> Dataset:
    """Write the heatmaps of one instance, one segment each.

    The standard has no word for attention: of the two kinds of fraction that there are it goes by
    probability, and label and description say that it is none.

    Parameters
    ----------
    images : what was found on the instance, by frame
    heatmaps : of these images' findings

    Raises
    ------
    ObjectRefusedError
        No heatmap is above 0 anywhere.

    References
    ----------
    PS3.3 A.51, C.8.20.2.3.
    """
    size = (int(source.Rows), int(source.Columns))
    described: list[tuple[ImageFindings, Finding]] = []
    frames: list[bytes] = []
    by_key = {key_of(image): image for image in images}
    for heatmap in heatmaps:
        image = by_key[heatmap.sop_instance_uid, heatmap.frame]
        values = _on_source(heatmap, size)
        # highdicom's readers, and viewers, stumble over a frame without a value.
        if values.any():
            described.append((image, _finding_of(image, heatmap)))
            frames.append(values.tobytes())
    if not frames:
        raise ObjectRefusedError(f"instance {source.SOPInstanceUID} has no heatmap above 0")
    segmentation = segmentation_of(
        source,
        [
            segment_of(
                number,
                f"{_BEGINNING}{words_of(finding.name, LABEL_LENGTH - len(_BEGINNING))}",
                image,
                finding,
                context,
                tracking_uid=context.uids.tracking_uid(name_of(image), finding),
                tracking_id=tracking_id_of(image, finding),
            )
            for number, (image, finding) in enumerate(described, start=1)
        ],
        [image.frame for image, _ in described],
        segmentation_type=SegmentationType.FRACTIONAL,
        kind=ResultKind.ATTENTION_SEGMENTATION,
        context=context,
        image_number=image_number,
        content_label="AI_ATTENTION",
        image=images[0],
    )
    pixels = b"".join(frames)
    segmentation.PixelData = pixels + b"\0" * (len(pixels) % 2)
    segmentation.SegmentsOverlap = "UNDEFINED"
    return segmentation


def _is_seen(heatmap: Heatmap, source: Dataset) -> bool:
    """Tell whether a heatmap leaves anything on its image: one that is 0 all over shows nothing."""
    rows, columns = int(source.Rows), int(source.Columns)
    left, top, right, bottom = heatmap.extent
    lies_on_it = right > 0 and bottom > 0 and left < columns and top < rows
    return bool(lies_on_it and heatmap.values.max(initial=0.0) * FULL >= 1.0)


def _on_source(heatmap: Heatmap, size: tuple[int, int]) -> NDArray[np.uint8]:
    heat = np.zeros(size, dtype=np.float32)
    raise_to(heat, heatmap)
    return np.asarray(np.rint(np.clip(heat, 0.0, 1.0) * np.float32(FULL)), dtype=np.uint8)


def _finding_of(image: ImageFindings, heatmap: Heatmap) -> Finding:
    return next(finding for finding in image.findings if finding.name == heatmap.finding)
