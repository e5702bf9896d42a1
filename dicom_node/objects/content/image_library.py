"""The Image Library of a report: every image of the study with its side, view and geometry."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code

from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.terms import codes
from mammoclip_core.images.header.header_numbers import numbers_of
from mammoclip_core.images.header.patient_orientation import patient_orientation_of
from mammoclip_core.images.header.pixel_spacing import stated_spacing_of
from mammoclip_core.images.header.views import laterality_of, view_modifiers_of, view_position_of

_CONTAINS: Final = Relationship.CONTAINS
_ACQUISITION: Final = Relationship.HAS_ACQ_CONTEXT


def build_image_library(
    sources: Sequence[Dataset], frames: Mapping[str, Sequence[int]] = MappingProxyType({})
) -> Item:
    """List images in one group, since OHIF 3.13 reads only the first group.

    Parameters
    ----------
    frames : the frames that were used of each multi-frame image, by its SOP Instance UID

    References
    ----------
    PS3.16 TID 1600 to 1603.
    """
    entries = [_entry(source, frames.get(str(source.SOPInstanceUID), ())) for source in sources]
    group = _heading(codes.IMAGE_LIBRARY_GROUP, entries)
    return _heading(codes.IMAGE_LIBRARY, [group])


def _heading(concept: Code, children: Sequence[Item]) -> Item:
    return content_tree.container(_CONTAINS, concept, children, continuity="CONTINUOUS")


def _entry(source: Dataset, frames: Sequence[int]) -> Item:
    return content_tree.image(
        _CONTAINS,
        str(source.SOPClassUID),
        str(source.SOPInstanceUID),
        frames,
        [*_descriptors(source), *_projection(source)],
        concept=codes.SOURCE,
    )


def _descriptors(source: Dataset) -> Iterator[Item]:
    """Describe any image (TID 1602)."""
    modality = str(source.get("Modality") or "")
    known = {code.value: code for code in dictionary.cid29.concepts.values()}
    if modality in known:
        yield content_tree.code(_ACQUISITION, codes.MODALITY, known[modality])
    side = codes.LATERALITIES.get(laterality_of(source))
    if side is not None:
        yield content_tree.code(_ACQUISITION, codes.IMAGE_LATERALITY, side)
    for name, keyword in (
        (codes.PIXEL_DATA_ROWS, "Rows"),
        (codes.PIXEL_DATA_COLUMNS, "Columns"),
    ):
        for pixels in numbers_of(source, keyword):
            yield content_tree.floating_number(_ACQUISITION, name, pixels, codes.PIXELS)


def _projection(source: Dataset) -> Iterator[Item]:
    """Describe a projection radiograph (TID 1603)."""
    view = codes.VIEWS.get(view_position_of(source))
    if view is not None:
        yield _view(source, view)
    orientation = patient_orientation_of(source)
    if orientation is not None:
        row, column = orientation
        yield content_tree.text(_ACQUISITION, codes.PATIENT_ORIENTATION_ROW, row)
        yield content_tree.text(_ACQUISITION, codes.PATIENT_ORIENTATION_COLUMN, column)
    spacing = stated_spacing_of(source)
    if spacing is not None:
        vertical, horizontal = spacing
        yield _millimeters(codes.HORIZONTAL_PIXEL_SPACING, horizontal)
        yield _millimeters(codes.VERTICAL_PIXEL_SPACING, vertical)


def _view(source: Dataset, view: Code) -> Item:
    modifiers = [
        content_tree.code(
            Relationship.HAS_CONCEPT_MOD, codes.IMAGE_VIEW_MODIFIER, codes.VIEW_MODIFIERS[words]
        )
        for words in view_modifiers_of(source)
        if words in codes.VIEW_MODIFIERS
    ]
    return content_tree.code(_ACQUISITION, codes.IMAGE_VIEW, view, modifiers)


def _millimeters(name: Code, value: float) -> Item:
    return content_tree.floating_number(_ACQUISITION, name, value, codes.MILLIMETER)
