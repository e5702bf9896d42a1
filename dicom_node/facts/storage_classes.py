"""Which SOP Classes the node takes, and from whom."""

from typing import Final

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
    {
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
        "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
        "1.2.840.10008.5.1.4.1.1.88.50",  # Mammography CAD SR
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
        "1.2.840.10008.5.1.4.1.1.104.1",  # Encapsulated PDF
    }
)
"""What an archive sends round with a study: taken from destinations only, never analysed."""

ACCEPTED_CLASSES: Final = tuple(
    sorted(MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES | SECONDARY_CAPTURE_CLASSES | RESULT_CLASSES)
)
