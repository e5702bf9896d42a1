"""The part of the monthly report on how images look: to the model, and by their pixels."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from dicom_node.drift.outlook import Group, Outlook, embedding_shift
from dicom_node.drift.pixel_outlook import pixel_shifts
from dicom_node.drift.report_section import Section
from dicom_node.monitoring.pixel_watch import WORDS


def embeddings_section(found: Outlook, reference: Mapping[str, Group]) -> Section:
    """Say how far embeddings lie from those of each scanner's reference.

    Parameters
    ----------
    reference : by scanner
    """
    rows = []
    for equipment, group in found.by_equipment.items():
        if equipment.scanner not in reference:
            continue
        near, now = embedding_shift(reference[equipment.scanner].embeddings, group.embeddings)
        if near == near:  # noqa: PLR0124  not NaN
            rows.append((equipment.in_words(), f"{near:.4f}", f"{now:.4f}"))
    return Section(
        title="8. How the images look to the model",
        note="Median cosine distance of embeddings to the mean of the reference's.",
        columns=("equipment", "reference", "now"),
        rows=tuple(rows),
    )


def pixels_section(session: Session, found: Outlook) -> Section:
    """Say how breast area, grey and noise differ from those of each scanner's reference."""
    rows = [
        (
            equipment.in_words(),
            WORDS[one.name],
            "is gathered" if one.before is None else f"{one.before:.4g}",
            f"{one.now:.4g}",
            "-" if one.chance is None else f"{one.chance:.2g}",
        )
        for equipment, group in found.by_equipment.items()
        for one in pixel_shifts(session, equipment, group)
    ]
    return Section(
        title="8b. Pixels of the images",
        note="Medians of the means of each study's views of whole breasts. Grey and noise are "
        "shares of the values that a pixel can hold.",
        columns=("equipment", "measure", "reference", "now", "KS p"),
        rows=tuple(rows),
    )
