"""Which images of a study are analysed, and why the others are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import BreastTomosynthesisImageStorage

from dicom_node.studies.ledger.tables import Instance
from mammoclip_core.findings import ImageFindings, ImageStatus
from mammoclip_core.images.views import STANDARD_VIEWS

FOR_PRESENTATION: Final = "FOR PRESENTATION"
FOR_PROCESSING: Final = "FOR PROCESSING"
FOR_PROCESSING_REMARK: Final = (
    "For Processing image: outside of what the model was trained on; no For Presentation image "
    "of this view was received"
)

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
class Selection:
    """The images to analyse, each with a remark, and the statement for all others."""

    chosen: tuple[tuple[Instance, str], ...]
    left_out: tuple[ImageFindings, ...]


def select_images(registered: Sequence[Instance], set_aside: Iterable[Instance]) -> Selection:
    """Choose what is analysed: For Presentation where there is a choice, no spot views.

    A tomosynthesis stands beside the flat image of its view and takes no image's place.

    Parameters
    ----------
    registered : instances of the study that are in their place
    set_aside : instances of the study that are not analysed for their own reason
    """
    presented = {
        _view(instance)
        for instance in registered
        if instance.presentation_intent != FOR_PROCESSING and not instance.left_out_reason
    }
    chosen: list[tuple[Instance, str]] = []
    left_out: list[ImageFindings] = []
    for instance in registered:
        raw = instance.presentation_intent == FOR_PROCESSING
        if instance.left_out_reason:
            left_out.append(_stated(instance, ImageStatus.LEFT_OUT, instance.left_out_reason))
        elif raw and _view(instance) in presented:
            reason = "For Processing image beside a For Presentation image of the same view"
            left_out.append(_stated(instance, ImageStatus.LEFT_OUT, reason))
        else:
            chosen.append((instance, FOR_PROCESSING_REMARK if raw else ""))
    known = {instance.sop_instance_uid for instance in registered}
    left_out.extend(_missing(set_aside, known))
    return Selection(chosen=tuple(chosen), left_out=tuple(left_out))


def has_standard_views(registered: Iterable[Instance]) -> bool:
    """Tell whether CC and MLO of both breasts are there, as flat images for presentation."""
    present = {
        (instance.laterality, instance.view_position)
        for instance in registered
        if not instance.left_out_reason
        and instance.presentation_intent != FOR_PROCESSING
        and not _is_tomosynthesis(instance)
    }
    return present.issuperset(STANDARD_VIEWS)


def _missing(set_aside: Iterable[Instance], known: set[str]) -> Iterable[ImageFindings]:
    stated: set[str] = set()
    for instance in set_aside:
        uid = instance.sop_instance_uid
        if uid in stated or uid in known:
            continue
        stated.add(uid)
        if instance.reason in MISSING_REASONS:
            yield _stated(instance, ImageStatus.FAILED, f"set aside: {instance.detail}")
        elif instance.reason in LEFT_OUT_REASONS:
            yield _stated(instance, ImageStatus.LEFT_OUT, f"set aside: {instance.detail}")


def _view(instance: Instance) -> tuple[str, str, bool]:
    return instance.laterality, instance.view_position, _is_tomosynthesis(instance)


def _is_tomosynthesis(instance: Instance) -> bool:
    return bool(instance.sop_class_uid == BreastTomosynthesisImageStorage)


def _stated(instance: Instance, status: ImageStatus, reason: str) -> ImageFindings:
    return ImageFindings(
        sop_instance_uid=instance.sop_instance_uid,
        laterality=instance.laterality,
        view_position=instance.view_position,
        status=status,
        reason=reason,
    )
