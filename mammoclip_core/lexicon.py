"""The findings that a bundle answers by default, with their prompts and codes."""

from typing import Final

from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import FindingEntry

MASS: Final = FindingEntry(
    name="mass",
    code="SCT|4147007|Mass",
    source=FindingSource.PROMPT,
    prompts=("no mass", "mass"),
)

SUSPICIOUS_CALCIFICATION: Final = FindingEntry(
    name="suspicious_calcification",
    code="SCT|309587003|Calcification of breast",
    source=FindingSource.PROMPT,
    prompts=("no suspicious calcification", "suspicious calcification"),
)
"""PS3.16 has no code for "suspicious" here: the code says what is seen, the score how likely."""

MALIGNANCY: Final = FindingEntry(
    name="malignancy",
    code="SCT|21594007|Malignant",
    source=FindingSource.PROMPT,
    prompts=("no malignancy", "malignancy"),
)

DENSITY: Final = FindingEntry(
    name="density",
    code="SCT|129715009|Breast composition",
    source=FindingSource.PROMPT,
    prompts=(
        "the breasts are almost entirely fatty",
        "there are scattered areas of fibroglandular density",
        "the breasts are heterogeneously dense",
        "the breasts are extremely dense",
    ),
    own_prompts=True,
)
"""The categories A to D in the words of BI-RADS; no prompts for density were published."""

DEFAULT_FINDINGS: Final = (MASS, SUSPICIOUS_CALCIFICATION, MALIGNANCY, DENSITY)
