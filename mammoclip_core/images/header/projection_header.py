"""What a header says of how a breast was projected: scale, directions, and whether it is plain."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from mammoclip_core.images.header.image_kind import image_facts_of
from mammoclip_core.images.header.patient_orientation import patient_orientation_of
from mammoclip_core.images.header.pixel_spacing import spacing_in_patient_of
from mammoclip_core.images.header.views import HasAttributes, value_of, view_modifiers_of
from mammoclip_core.images.stored_image import ProjectionHeader

_HARMLESS_MODIFIERS: Final = frozenset({"nipple in profile"})
"""Modifiers of a view that shows the whole breast, neither turned nor displaced."""

_DAY_LENGTH: Final = 8
"""Of YYYYMMDD, with which a DT begins as well (PS3.5 6.2)."""

_PARTIAL: Final = ("PartialView", "BreastImplantPresent")


def projection_header_of(
    dataset: HasAttributes, frame: int, number_of_frames: int
) -> ProjectionHeader:
    """Read it from the header of a frame.

    References
    ----------
    PS3.3 C.8.11.7 (Partial View, Breast Implant Present), C.7.6.1 (Acquisition Date), C.7.6.1.1.1;
    PS3.16 CID 4015.
    """
    return ProjectionHeader(
        spacing_mm=spacing_in_patient_of(dataset, frame),
        orientation=patient_orientation_of(dataset, frame),
        is_whole_breast=(
            number_of_frames == 1
            and not image_facts_of(dataset).is_tomosynthesis
            and _is_plain(view_modifiers_of(dataset))
            and not any(_is_yes(value_of(dataset, keyword)) for keyword in _PARTIAL)
        ),
        acquired_on=_acquired_on(dataset),
    )


def _acquired_on(dataset: HasAttributes) -> str:
    """Return the day of the acquisition, which two attributes may state; empty if neither does."""
    for keyword in ("AcquisitionDate", "AcquisitionDateTime"):
        stated = str(value_of(dataset, keyword) or "").strip()[:_DAY_LENGTH]
        with suppress(ValueError):
            return datetime.strptime(stated, "%Y%m%d").date().isoformat()
    return ""


def _is_plain(modifiers: Iterable[str]) -> bool:
    return _HARMLESS_MODIFIERS.issuperset(modifiers)


def _is_yes(value: object) -> bool:
    return isinstance(value, str) and value.strip().upper() == "YES"
