"""Which SOP Classes the node takes, from whom, and which of them are mammograms."""

from typing import Final

DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.2"
DIGITAL_MAMMOGRAPHY_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.2.1"
MAMMOGRAM_CLASSES: Final = frozenset(
    {DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION, DIGITAL_MAMMOGRAPHY_FOR_PROCESSING}
)
TOMOSYNTHESIS_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.13.1.3"})
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
