"""The published tables' formats, and a table of one's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.data.table_cells import (
    age,
    any_text,
    flag,
    names,
    number,
    one_of,
    positive,
    side,
    some_texts,
    text,
    texts,
    whole,
)
from training.data.table_mapping import UNKNOWN, part_of
from training.data.table_reading import Check, Format, read_cells

if TYPE_CHECKING:
    import pandas as pd


def _breast_has_image_and_report(row: Mapping[str, Any]) -> None:
    from training.reports.report_text import sentences_of

    if not row["CC"] and not row["MLO"]:
        raise ValueError("neither CC nor MLO names an image")
    if not sentences_of(row["findings"]) and not sentences_of(row["impressions"]):
        raise ValueError("findings and impressions are empty")


_SIDE: Final = one_of("L", "R")
_SPLIT: Final = one_of("training", "test")
_BIRADS: Final = one_of(*(f"BI-RADS {category}" for category in range(7)))
_DENSITY: Final = one_of("DENSITY A", "DENSITY B", "DENSITY C", "DENSITY D")
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_RESIZED: Final = ("resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax")

IMAGE_TEXT: Final = Format(
    columns={
        "patient_id": text,
        "laterality": side,
        "CC": names,
        "MLO": names,
        "findings": any_text,
        "impressions": any_text,
    },
    optional={"image": names, "view": texts, "text": texts, "fold": whole},
    group="patient_id",
    key=("patient_id", "laterality"),
    row=_breast_has_image_and_report,
)
"""One row a patient and side: its images by view and its report, findings before impression."""

REPORTS: Final = Format(
    columns={
        "patient_id": text,
        "image_id": text,
        "FINDINGS": any_text,
        "IMPRESSION": any_text,
    },
    optional={"laterality": side, "view": any_text, "fold": whole},
    group="patient_id",
    key=("patient_id", "image_id"),
)
"""One row an image, with the report of its breast as it was dictated."""

_VINDR_IMAGE: Final[Mapping[str, Check]] = {
    "study_id": text,
    "series_id": text,
    "image_id": text,
    "laterality": _SIDE,
    "view_position": text,
    "height": positive,
    "width": positive,
    "breast_birads": _BIRADS,
    "breast_density": _DENSITY,
    "split": _SPLIT,
}

VINDR_FINDINGS: Final = Format(
    columns={
        **_VINDR_IMAGE,
        "finding_categories": some_texts,
        "finding_birads": any_text,
        **dict.fromkeys(_CORNERS, number),
    },
    optional={**dict.fromkeys(_RESIZED, number), "age": age},
    group="study_id",
    boxes=(_CORNERS, _RESIZED),
)
"""VinDr-Mammo, one row a finding or an image without any. Boxes may begin below 0."""

VINDR_BREASTS: Final = Format(columns=_VINDR_IMAGE, group="study_id", key=("image_id",))
"""VinDr-Mammo, one row an image with the assessment of its breast."""

RSNA: Final = Format(
    columns={
        "site_id": text,
        "patient_id": text,
        "image_id": text,
        "laterality": _SIDE,
        "view": text,
        "age": number,
        "cancer": flag,
        "biopsy": flag,
        "invasive": flag,
        "BIRADS": number,
        "implant": flag,
        "density": any_text,
        "machine_id": text,
        "difficult_negative_case": flag,
    },
    optional={"fold": whole},
    group="patient_id",
    key=("image_id",),
)
"""RSNA screening mammography, training table: one row an image."""

_NAMING: Final = ("file", "image_id", "sop_instance_uid")


def _image_is_named(row: Mapping[str, Any]) -> None:
    if not any(row.get(column) for column in _NAMING):
        raise ValueError(f"{' and '.join(_NAMING)} are empty")


PLAIN: Final = Format(
    columns={},
    optional={
        **dict.fromkeys(_NAMING, any_text),
        "patient_id": any_text,
        "split": part_of,
        "fold": whole,
    },
    group="patient_id",
    key=_NAMING,
    any_of=_NAMING,
    row=_image_is_named,
)
"""A table of your own: which image, its patient, and any labels.

An image is named by its file, by an `image_id` that is the file's name or SOP Instance UID, or by
its SOP Instance UID. What the table does not say of patient, laterality and view, the DICOM header
does.
"""


def _known_flag(cell: str) -> int:
    return flag(cell) if cell else UNKNOWN


PICTURES: Final = Format(
    columns={"patient_id": text},
    optional={
        "image": text,
        "file": text,
        "laterality": one_of("", "L", "R"),
        "view": any_text,
        "split": part_of,
        "fold": whole,
        "mass": _known_flag,
        "suspicious_calcification": _known_flag,
        "malignancy": _known_flag,
        "density": one_of("", "A", "B", "C", "D"),
        "age": age,
    },
    group="patient_id",
    key=("image", "file"),
    any_of=("image", "file"),
)
"""Pictures with a table of your own: each picture's path, its patient, and any labels.

What `prepare` writes of such a table has the path under `image`.
"""

_TELLING: Final = (
    ("finding_categories", VINDR_FINDINGS),
    ("breast_birads", VINDR_BREASTS),
    ("difficult_negative_case", RSNA),
    ("FINDINGS", REPORTS),
    ("impressions", IMAGE_TEXT),
)


def recognised(path: Path) -> Format:
    """Tell a table's format by the column that only it has; a table without any is `PLAIN`."""
    columns = set(read_cells(path).columns)
    return next((layout for column, layout in _TELLING if column in columns), PLAIN)


def image_labels(findings: "pd.DataFrame") -> "pd.DataFrame":
    """Return one row an image from the rows of findings: a label is 1 where any row says so.

    Rows of an image may contradict each other ("no finding" beside a mass): the finding counts.
    """
    from training.reports.report_synthesis import Attribute

    rows = findings.copy()
    for attribute in Attribute:
        rows[attribute.value.replace(" ", "_")] = [
            int(attribute.value in categories) for categories in rows["finding_categories"]
        ]
    labels = {attribute.value.replace(" ", "_"): "max" for attribute in Attribute}
    kept = ("study_id", "laterality", "view_position", "breast_birads", "breast_density", "split")
    how = {**{name: "first" for name in kept if name in rows}, **labels}
    return rows.groupby("image_id", sort=False).agg(how).reset_index()
