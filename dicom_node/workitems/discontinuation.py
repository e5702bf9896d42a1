"""Why a workitem is canceled, as a code (PS3.16 CID 9300 and 9301)."""

from collections.abc import Mapping
from typing import Final

from dicom_node.workitems.workitem import Code

UNSPECIFIED: Final = "110513"
INCORRECT_ENTRY: Final = "110514"
INCORRECT_FORMAT: Final = "110521"
UNSUPPORTED: Final = "110522"
INCOMPLETE: Final = "110523"
PRE_EMPTED: Final = "110526"
INADEQUATE: Final = "110527"

MEANINGS: Final[Mapping[str, str]] = {
    UNSPECIFIED: "Discontinued for unspecified reason",
    INCORRECT_ENTRY: "Incorrect worklist entry selected",
    INCORRECT_FORMAT: "Objects incorrectly formatted",
    UNSUPPORTED: "Object Types not supported",
    INCOMPLETE: "Object Set incomplete",
    PRE_EMPTED: "Resource pre-empted",
    INADEQUATE: "Resource inadequate",
}

OF_REASONS: Final[Mapping[str, str]] = {
    # Objects that were set aside.
    "foreign-file": INCORRECT_FORMAT,
    "invalid-uid": INCORRECT_FORMAT,
    "mismatched-uid": INCORRECT_FORMAT,
    "missing-uid": INCORRECT_FORMAT,
    "no-laterality": INCORRECT_FORMAT,
    "no-pixel-data": INCORRECT_FORMAT,
    "no-view": INCORRECT_FORMAT,
    "same-uid-other-content": INCORRECT_FORMAT,
    "unreadable-object": INCORRECT_FORMAT,
    "not-a-mammogram": UNSUPPORTED,
    "own-result": UNSUPPORTED,
    "prior": UNSUPPORTED,
    "radiograph": UNSUPPORTED,
    "rejection-note": UNSUPPORTED,
    "tomosynthesis": UNSUPPORTED,
    "rejected": INCOMPLETE,
    "too-large": INADEQUATE,
    "two-patients": INCORRECT_ENTRY,
    # What became of the study.
    "other-study": INCORRECT_ENTRY,
    "images-missing": INCOMPLETE,
    "nothing-to-analyse": UNSUPPORTED,
    "refused-by-rule": UNSUPPORTED,
    "analysis-failed": INADEQUATE,
    "analysis-cancelled": PRE_EMPTED,
    "not-delivered": INADEQUATE,
    "erased": UNSPECIFIED,
    "cancel-asked": UNSPECIFIED,
}
"""By the stable word of what stopped the node."""


def code_of(value: str) -> Code:
    """Return a discontinuation reason with its meaning."""
    return Code(value, "DCM", MEANINGS.get(value, MEANINGS[UNSPECIFIED]))
