"""The Image Library of a report: every image of the study with its side, view and geometry."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from highdicom.sr import (
    CodeContentItem,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_node.objects import codes
from mammoclip_core.images.header.header_numbers import numbers_of
from mammoclip_core.images.header.patient_orientation import patient_orientation_of
from mammoclip_core.images.header.pixel_spacing import stated_spacing_of
from mammoclip_core.images.header.views import laterality_of, view_modifiers_of, view_position_of

_CONTAINS: Final = RelationshipTypeValues.CONTAINS
_ACQUISITION: Final = RelationshipTypeValues.HAS_ACQ_CONTEXT


def build_image_library(
    sources: Sequence[Dataset], frames: Mapping[str, Sequence[int]] = MappingProxyType({})
) -> ContainerContentItem:
    """List images in one group, since OHIF 3.13 reads only the first group.

    Parameters
    ----------
    frames : the frames that were used of each multi-frame image, by its SOP Instance UID

    References
    ----------
    PS3.16 TID 1600 to 1603.
    """
    group = ContainerContentItem(name=codes.IMAGE_LIBRARY_GROUP, relationship_type=_CONTAINS)
    group.ContentSequence = ContentSequence(
        [_entry(source, frames.get(str(source.SOPInstanceUID))) for source in sources]
    )
    library = ContainerContentItem(name=codes.IMAGE_LIBRARY, relationship_type=_CONTAINS)
    library.ContentSequence = ContentSequence([group])
    return library


def _entry(source: Dataset, frames: Sequence[int] | None) -> ImageContentItem:
    item = ImageContentItem(
        name=codes.SOURCE,
        referenced_sop_class_uid=source.SOPClassUID,
        referenced_sop_instance_uid=source.SOPInstanceUID,
        referenced_frame_numbers=list(frames) if frames else None,
        relationship_type=_CONTAINS,
    )
    item.ContentSequence = ContentSequence([*_descriptors(source), *_projection(source)])
    return item


def _descriptors(source: Dataset) -> Iterator[ContentItem]:
    """Describe any image (TID 1602)."""
    modality = str(source.get("Modality") or "")
    known = {code.value: code for code in dictionary.cid29.concepts.values()}
    if modality in known:
        yield CodeContentItem(codes.MODALITY, known[modality], _ACQUISITION)
    side = codes.LATERALITIES.get(laterality_of(source))
    if side is not None:
        yield CodeContentItem(codes.IMAGE_LATERALITY, side, _ACQUISITION)
    for name, keyword in (
        (codes.PIXEL_DATA_ROWS, "Rows"),
        (codes.PIXEL_DATA_COLUMNS, "Columns"),
    ):
        for pixels in numbers_of(source, keyword):
            yield NumContentItem(name, pixels, codes.PIXELS, None, _ACQUISITION)


def _projection(source: Dataset) -> Iterator[ContentItem]:
    """Describe a projection radiograph (TID 1603)."""
    view = codes.VIEWS.get(view_position_of(source))
    if view is not None:
        yield _view(source, view)
    orientation = patient_orientation_of(source)
    if orientation is not None:
        row, column = orientation
        yield TextContentItem(codes.PATIENT_ORIENTATION_ROW, row, _ACQUISITION)
        yield TextContentItem(codes.PATIENT_ORIENTATION_COLUMN, column, _ACQUISITION)
    spacing = stated_spacing_of(source)
    if spacing is not None:
        vertical, horizontal = spacing
        yield _millimeters(codes.HORIZONTAL_PIXEL_SPACING, horizontal)
        yield _millimeters(codes.VERTICAL_PIXEL_SPACING, vertical)


def _view(source: Dataset, view: Code) -> CodeContentItem:
    item = CodeContentItem(codes.IMAGE_VIEW, view, _ACQUISITION)
    modifiers = [
        CodeContentItem(
            codes.IMAGE_VIEW_MODIFIER,
            codes.VIEW_MODIFIERS[words],
            RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        for words in view_modifiers_of(source)
        if words in codes.VIEW_MODIFIERS
    ]
    if modifiers:
        item.ContentSequence = ContentSequence(modifiers)
    return item


def _millimeters(name: Code, value: float) -> NumContentItem:
    return NumContentItem(name, value, codes.MILLIMETER, None, _ACQUISITION)
