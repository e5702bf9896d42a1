"""The Image Library of a CAD report, by which all of its marks name their image (TID 4020)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.objects.cad_sr import codes as cad_codes
from dicom_node.objects.cad_sr.options import SpacingUnit
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.frames import ImageKey, key_of
from dicom_node.objects.modules.shared_modules import is_multi_frame
from dicom_node.objects.terms import codes
from mammoclip_core.findings import ImageFindings
from mammoclip_core.images.header.patient_orientation import patient_orientation_of
from mammoclip_core.images.header.pixel_spacing import stated_spacing_of
from mammoclip_core.images.header.views import view_modifiers_of, view_position_of

_ACQUISITION: Final = Relationship.HAS_ACQ_CONTEXT
_DATE: Final = re.compile(r"\d{8}")
_TIME: Final = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?")


def build_entries(
    images: tuple[ImageFindings, ...], sources: Mapping[str, Dataset], unit: SpacingUnit
) -> dict[ImageKey, Item]:
    """Return an entry for each image, or for each frame that was used of a multi-frame image.

    Parameters
    ----------
    images : all of them have a source
    """
    return {key_of(image): _entry(image, sources[image.sop_instance_uid], unit) for image in images}


def _entry(image: ImageFindings, source: Dataset, unit: SpacingUnit) -> Item:
    return content_tree.image(
        Relationship.CONTAINS,
        str(source.SOPClassUID),
        str(source.SOPInstanceUID),
        # Only of a multi-frame image: dciodvfy has an error for any other.
        [image.frame] if is_multi_frame(source) else [],
        [*_view(image, source), *_orientation(source), *_instants(source), *_spacing(source, unit)],
    )


def _view(image: ImageFindings, source: Dataset) -> Iterator[Item]:
    breast = cad_codes.BREASTS.get(image.laterality)
    if breast is not None:
        yield content_tree.code(_ACQUISITION, codes.IMAGE_LATERALITY, breast)
    view = codes.VIEWS.get(view_position_of(source))
    if view is not None:
        modifiers = [
            content_tree.code(
                Relationship.HAS_CONCEPT_MOD,
                codes.IMAGE_VIEW_MODIFIER,
                codes.VIEW_MODIFIERS[words],
            )
            for words in view_modifiers_of(source)
            if words in codes.VIEW_MODIFIERS
        ]
        yield content_tree.code(_ACQUISITION, codes.IMAGE_VIEW, view, modifiers)


def _orientation(source: Dataset) -> Iterator[Item]:
    """Say which way the image lies: with the spacing it is how images are matched (PS3.17 E.5)."""
    orientation = patient_orientation_of(source)
    if orientation is not None:
        row, column = orientation
        yield content_tree.text(_ACQUISITION, codes.PATIENT_ORIENTATION_ROW, row)
        yield content_tree.text(_ACQUISITION, codes.PATIENT_ORIENTATION_COLUMN, column)


def _instants(source: Dataset) -> Iterator[Item]:
    for date_concept, time_concept, owner in (
        (cad_codes.STUDY_DATE, cad_codes.STUDY_TIME, "Study"),
        (cad_codes.CONTENT_DATE, cad_codes.CONTENT_TIME, "Content"),
    ):
        day = str(source.get(f"{owner}Date") or "").strip()
        if _DATE.fullmatch(day):
            yield content_tree.date(_ACQUISITION, date_concept, day)
        time_of_day = str(source.get(f"{owner}Time") or "").strip()
        if _TIME.fullmatch(time_of_day):
            yield content_tree.time(_ACQUISITION, time_concept, time_of_day)


def _spacing(source: Dataset, unit: SpacingUnit) -> Iterator[Item]:
    spacing = stated_spacing_of(source)
    if spacing is None:
        return
    vertical, horizontal = spacing
    yield _length(codes.HORIZONTAL_PIXEL_SPACING, horizontal, unit)
    yield _length(codes.VERTICAL_PIXEL_SPACING, vertical, unit)


def _length(concept: Code, millimeters: float, unit: SpacingUnit) -> Item:
    if unit is SpacingUnit.MILLIMETER:
        return content_tree.number(_ACQUISITION, concept, millimeters, codes.MILLIMETER)
    micrometers = round(1000.0 * millimeters, 6)
    return content_tree.number(_ACQUISITION, concept, micrometers, cad_codes.MICROMETER)
