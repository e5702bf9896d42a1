"""Which SOP Classes the node takes, from whom, and which of them are mammograms."""

from typing import Final

from dicom_node.facts.result_kinds import ResultKind

DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION: Final = "1.2.840.10008.5.1.4.1.1.1.2"
DIGITAL_MAMMOGRAPHY_FOR_PROCESSING: Final = "1.2.840.10008.5.1.4.1.1.1.2.1"
MAMMOGRAM_CLASSES: Final = frozenset(
    {DIGITAL_MAMMOGRAPHY_FOR_PRESENTATION, DIGITAL_MAMMOGRAPHY_FOR_PROCESSING}
)
TOMOSYNTHESIS_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.13.1.3"})
SECONDARY_CAPTURE_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.7"})

RESULT_CLASSES: Final = frozenset(
    sop_class_uid for kind in ResultKind for sop_class_uid in kind.row.sop_class_uids
)
"""What an archive sends round with a study: taken from destinations only, never analysed."""

ACCEPTED_CLASSES: Final = tuple(
    sorted(MAMMOGRAM_CLASSES | TOMOSYNTHESIS_CLASSES | SECONDARY_CAPTURE_CLASSES | RESULT_CLASSES)
)
