"""A breast's row of the published image-text table."""

from collections.abc import Sequence
from typing import Any, Final

from training.reports.report_text import to_cell

VIEWS: Final = ("CC", "MLO")
"""Views that have a column of their own."""


def image_text_row(
    patient: str,
    laterality: str,
    images: Sequence[tuple[str, str]],
    *,
    findings: Sequence[str],
    impressions: Sequence[str],
) -> dict[str, Any]:
    """Return the row, without a fold.

    Parameters
    ----------
    images : name and view of each of the breast's images
    findings, impressions : sentences of the report's sections

    References
    ----------
    Mammo-CLIP, official `augment_text.py`.
    """
    sections = [to_cell(findings), to_cell(impressions)]
    return {
        "patient_id": patient,
        "laterality": laterality,
        "image": repr([name for name, _ in images]),
        "view": repr(list(dict.fromkeys(view for _, view in images))),
        **{view: repr([name for name, own in images if own == view]) for view in VIEWS},
        "text": repr(sections),
        "findings": sections[0],
        "impressions": sections[1],
    }
