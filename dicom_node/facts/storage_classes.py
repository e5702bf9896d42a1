"""SOP Classes that the node accepts, and from which senders."""

from typing import Final

from dicom_node.facts.result_kinds import ResultKind
from mammoclip_core.images.image_kind import MAMMOGRAM_CLASSES, TOMOSYNTHESIS_CLASSES

__all__ = [
    "ACCEPTED_CLASSES",
    "MAMMOGRAM_CLASSES",
    "RESULT_CLASSES",
    "SECONDARY_CAPTURE_CLASSES",
    "TOMOSYNTHESIS_CLASSES",
]

SECONDARY_CAPTURE_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.7"})

RESULT_CLASSES: Final = frozenset(
    sop_class_uid for kind in ResultKind for sop_class_uid in kind.row.sop_class_uids
)
"""Results that an archive may send back: accepted from destinations only, never analysed."""

ACCEPTED_CLASSES: Final = tuple(
    sorted(MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES | SECONDARY_CAPTURE_CLASSES | RESULT_CLASSES)
)
