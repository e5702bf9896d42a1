"""Which images of a received study are analysed, and what is stated of the objects set aside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.image_kind import ImageFacts
from mammoclip_core.images.selection import Selection, stated
from mammoclip_core.images.selection import select_images as select_by_kind

MISSING_REASONS: Final = frozenset(
    {
        "no-pixel-data",
        "no-laterality",
        "no-view",
        "two-patients",
        "invalid-uid",
        "missing-uid",
        "mismatched-uid",
    }
)
"""Reasons to set a mammogram aside by which the study lacks an image that it should have.

A settled study opens again for them, because its report has to say so.
"""

LEFT_OUT_REASONS: Final = frozenset({"tomosynthesis"})
"""Reasons to set an object aside that a report states without calling the study partial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An object that is kept but not analysed, with the stable word and the sentence for it."""

    image: ImageFacts
    reason: str
    detail: str


def select_images(registered: Sequence[ImageFacts], set_aside: Iterable[SetAside]) -> Selection:
    """Choose what is analysed of everything received for a study.

    Parameters
    ----------
    registered : instances of the study that are in their place
    set_aside : instances of the study that are not analysed for their own reason
    """
    selection = select_by_kind(registered)
    known = {image.sop_instance_uid for image in registered}
    return replace(selection, left_out=(*selection.left_out, *_missing(set_aside, known)))


def _missing(set_aside: Iterable[SetAside], known: set[str]) -> Iterator[ImageFindings]:
    seen = set(known)
    for item in set_aside:
        if item.image.sop_instance_uid in seen:
            continue
        seen.add(item.image.sop_instance_uid)
        if item.reason in MISSING_REASONS:
            yield stated(item.image, ImageStatus.FAILED, f"set aside: {item.detail}")
        elif item.reason in LEFT_OUT_REASONS:
            yield stated(item.image, ImageStatus.LEFT_OUT, f"set aside: {item.detail}")
