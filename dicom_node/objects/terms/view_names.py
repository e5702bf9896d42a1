"""Tells the images of a study apart by name: side, view and its modifiers, repeated views."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.errors import ObjectRefusedError
from dicom_node.objects.terms.wording import to_ascii
from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.header.header_numbers import number_of
from mammoclip_core.images.header.views import (
    laterality_of,
    view_modifiers_of,
    view_position_of,
)

_VIEW_LENGTH: Final = 32

_INSTANTS: Final = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("AcquisitionDateTime",),
    ("ContentDate", "ContentTime"),
)
"""What may tell when an image was taken, the first that is there."""


def with_view_names(
    images: Iterable[ImageFindings], sources: Mapping[str, Dataset]
) -> tuple[ImageFindings, ...]:
    """Give each image its side, view and modifiers, and its number among the images of that view.

    The number follows the time of acquisition, so that an image keeps its name when one that was
    taken after it comes late. Images that are left out are counted after all others.

    Parameters
    ----------
    sources : headers by SOP Instance UID, as far as they are known

    Raises
    ------
    ObjectRefusedError
        Findings and header name different sides or views: a result would be shown on the wrong
        breast.
    """
    named = [_as_stated(image, sources) for image in images]
    numbers: dict[str, int] = {}
    taken: dict[tuple[str, str, tuple[str, ...]], int] = {}
    for image in sorted(named, key=lambda one: _order_of(one, sources.get(one.sop_instance_uid))):
        if image.sop_instance_uid not in numbers:
            view = (image.laterality, image.view_position, image.view_modifiers)
            taken[view] = numbers[image.sop_instance_uid] = taken.get(view, 0) + 1
    return tuple(replace(image, repetition=numbers[image.sop_instance_uid]) for image in named)


def _as_stated(image: ImageFindings, sources: Mapping[str, Dataset]) -> ImageFindings:
    """Return an image as its header names it; what that leaves open the findings may tell."""
    # A document of another program may call a view by a text of any length.
    image = replace(image, view_position=to_ascii(image.view_position, _VIEW_LENGTH))
    source = sources.get(image.sop_instance_uid)
    if source is None:
        return image
    side, view = laterality_of(source), view_position_of(source)
    known = view_position_of({"ViewPosition": image.view_position})
    for what, answered, stated in (("side", image.laterality, side), ("view", known, view)):
        if answered and stated and answered != stated:
            raise ObjectRefusedError(
                f"instance {image.sop_instance_uid}: by its header the {what} is {stated}, "
                f"the findings say {answered}"
            )
    return replace(
        image,
        laterality=side or image.laterality,
        view_position=view or known or image.view_position,
        view_modifiers=view_modifiers_of(source),
    )


def _order_of(image: ImageFindings, source: Dataset | None) -> tuple[bool, str, float, str]:
    header = source if source is not None else Dataset()
    instants = (
        "".join(str(header.get(keyword) or "") for keyword in keywords) for keywords in _INSTANTS
    )
    return (
        image.status is ImageStatus.LEFT_OUT,
        next(filter(None, instants), ""),
        number_of(header, "InstanceNumber", 0.0),
        image.sop_instance_uid,
    )
