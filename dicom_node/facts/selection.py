"""Selects the images of a study to analyse, and lists those set aside with their reasons."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.header.image_kind import ImageFacts
from mammoclip_core.images.selection import Generated2D, Selection, stated
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
"""Reasons for which a mammogram that belongs to the study is missing from the analysis.

A settled study opens again for them, because its report must state that it is partial.
"""

LEFT_OUT_REASONS: Final = frozenset({"tomosynthesis", "radiograph", "rejected"})
"""Reasons that a report states without calling the study partial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An object that is kept but not analysed, with its reason word and an explanation."""

    image: ImageFacts
    reason: str
    detail: str


def select_images(
    registered: Sequence[ImageFacts],
    set_aside: Iterable[SetAside],
    generated_2d: Generated2D = Generated2D.IF_ALONE,
) -> Selection:
    """Select the images to analyse of everything received for a study.

    Parameters
    ----------
    registered : instances of the study that were registered
    set_aside : instances of the study that were set aside, each with its reason
    generated_2d : which one is analysed of a generated and a full-field image of a view
    """
    selection = select_by_kind(registered, generated_2d)
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
