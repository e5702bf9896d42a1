"""Which images of a study are analysed, and why the others are not: the same rules everywhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.image_kind import ImageFacts
from mammoclip_core.images.views import STANDARD_VIEWS

FOR_PROCESSING_REMARK: Final = (
    "For Processing image: outside of what the model was trained on; no For Presentation image "
    "of this view was received"
)
FOR_PROCESSING_TWIN: Final = "For Processing image beside a For Presentation image of the same view"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The images to analyse, each with a remark, and the statement for all others."""

    chosen: tuple[tuple[ImageFacts, str], ...]
    left_out: tuple[ImageFindings, ...]


def select_images(images: Sequence[ImageFacts]) -> Selection:
    """Choose what is analysed: For Presentation where there is a choice, no spot views.

    A tomosynthesis stands beside the flat image of its view and takes no image's place.
    """
    presented = {
        _view(image)
        for image in images
        if not image.is_for_processing and not image.left_out_reason
    }
    chosen: list[tuple[ImageFacts, str]] = []
    left_out: list[ImageFindings] = []
    for image in images:
        reason = image.left_out_reason
        if not reason and image.is_for_processing and _is_known(image):
            reason = FOR_PROCESSING_TWIN if _view(image) in presented else ""
        if reason:
            left_out.append(stated(image, ImageStatus.LEFT_OUT, reason))
        else:
            chosen.append((image, FOR_PROCESSING_REMARK if image.is_for_processing else ""))
    return Selection(chosen=tuple(chosen), left_out=tuple(left_out))


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
