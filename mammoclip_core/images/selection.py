"""Which images of a study are analysed, and why the others are not: the same rules everywhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.header.image_kind import Acquisition, ImageFacts
from mammoclip_core.images.header.views import STANDARD_VIEWS

FOR_PROCESSING_REMARK: Final = (
    "For Processing image: outside of what the model was trained on; no For Presentation image "
    "of this view was received"
)
LOW_ENERGY_REMARK: Final = "low-energy image of a contrast study"
GENERATED_REMARK: Final = "2D image that was computed from a tomosynthesis"
GENERATED_TWIN: Final = "generated 2D image beside a full-field image of the same view"
FULL_FIELD_TWIN: Final = "full-field image beside a generated 2D image, which the settings prefer"
FOR_PROCESSING_TWIN: Final = "For Processing image beside a For Presentation image of the same view"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The images to analyse, each with a remark, and the statement for all others."""

    chosen: tuple[tuple[ImageFacts, str], ...]
    left_out: tuple[ImageFindings, ...]


class Generated2D(StrEnum):
    """Whether a 2D image that was computed from a tomosynthesis is analysed."""

    IF_ALONE = "if-alone"
    """Only where there is no full-field image of its view."""
    PREFER = "prefer"
    """Instead of a full-field image of its view."""
    BOTH = "both"
    """Beside a full-field image of its view, as two images of one view."""


def select_images(
    images: Sequence[ImageFacts], generated_2d: Generated2D = Generated2D.IF_ALONE
) -> Selection:
    """Choose what is analysed: For Presentation where there is a choice, no spot views.

    A tomosynthesis stands beside the flat image of its view and takes no image's place.

    Parameters
    ----------
    generated_2d : which one is analysed of a generated and a full-field image of a view
    """
    usable = [image for image in images if not image.left_out_reason]
    presented = {_view(image) for image in usable if not image.is_for_processing}
    generated = {_view(image) for image in usable if _is_generated(image)}
    full_field = {
        _view(image) for image in usable if not (_is_generated(image) or image.is_for_processing)
    }
    chosen: list[tuple[ImageFacts, str]] = []
    left_out: list[ImageFindings] = []
    for image in images:
        reason = image.left_out_reason
        if not reason and _is_known(image):
            view = _view(image)
            if image.is_for_processing and view in presented:
                reason = FOR_PROCESSING_TWIN
            elif generated_2d is Generated2D.IF_ALONE and _is_generated(image):
                reason = GENERATED_TWIN if view in full_field else ""
            elif generated_2d is Generated2D.PREFER and not _is_generated(image):
                reason = FULL_FIELD_TWIN if view in generated else ""
        if reason:
            left_out.append(stated(image, ImageStatus.LEFT_OUT, reason))
        else:
            chosen.append((image, _remark(image)))
    return Selection(chosen=tuple(chosen), left_out=tuple(left_out))


def _remark(image: ImageFacts) -> str:
    remarks = {
        FOR_PROCESSING_REMARK: image.is_for_processing,
        LOW_ENERGY_REMARK: image.acquisition is Acquisition.LOW_ENERGY,
        GENERATED_REMARK: _is_generated(image),
    }
    return "; ".join(remark for remark, holds in remarks.items() if holds)


def _is_generated(image: ImageFacts) -> bool:
    return image.acquisition is Acquisition.GENERATED_2D


def has_standard_views(images: Iterable[ImageFacts]) -> bool:
    """Tell whether CC and MLO of both breasts are there, as flat images for presentation."""
    present = {
        (image.laterality, image.view_position)
        for image in images
        if not (image.left_out_reason or image.is_for_processing or image.is_tomosynthesis)
    }
    return present.issuperset(STANDARD_VIEWS)


def stated(image: ImageFacts, status: ImageStatus, reason: str) -> ImageFindings:
    """State why an image has no findings."""
    return ImageFindings(
        sop_instance_uid=image.sop_instance_uid,
        laterality=image.laterality,
        view_position=image.view_position,
        status=status,
        reason=reason,
    )


def _view(image: ImageFacts) -> tuple[str, str, bool]:
    return image.laterality, image.view_position, image.is_tomosynthesis


def _is_known(image: ImageFacts) -> bool:
    """Tell whether it says what it shows: what is unknown is nobody's twin."""
    return bool(image.laterality and image.view_position)
