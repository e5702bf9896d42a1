"""What pretraining knows of a breast: its images by view, and a report or labels."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.data.splits import group_folds
from training.data.table_formats import IMAGE_TEXT
from training.data.table_reading import read_table
from training.errors import TableError
from training.reports.report_synthesis import Observation
from training.reports.report_text import Report, parts_of, sentences_of

if TYPE_CHECKING:
    import pandas as pd

FOLDS: Final = 4
"""So many folds are drawn where a table names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLabels:
    """What is known of an image of an image-label set.

    Attributes
    ----------
    density : ``A`` to ``D``, or empty where it is not known
    """

    observations: tuple[Observation, ...] = ()
    density: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreastRecord:
    """One breast of one patient, from an image-text or an image-label set.

    Attributes
    ----------
    laterality : ``L`` or ``R``
    images : names of images by view
        Views are CC, MLO and whatever else the table names.
    report : None in an image-label set
    augmented : the report's back-translation, or None
    labels : by name of image; empty in an image-text set
    fold : 0 and up
    """

    patient_id: str
    laterality: str
    images: Mapping[str, tuple[str, ...]]
    report: Report | None = None
    augmented: Report | None = None
    labels: Mapping[str, ImageLabels] = field(default_factory=dict)
    fold: int = 0

    def __post_init__(self) -> None:
        if not any(self.images.values()):
            raise ValueError(f"{self.patient_id} {self.laterality}: no image")
        if self.report is None and not self.labels:
            raise ValueError(f"{self.patient_id} {self.laterality}: neither report nor labels")

    def without(self, images: Collection[str]) -> "BreastRecord | None":
        """Return the breast without some of its images; None where none is left."""
        left = {
            view: kept
            for view, names in self.images.items()
            if (kept := tuple(name for name in names if name not in images))
        }
        return replace(self, images=left) if left else None


def read_image_text_table(path: Path) -> list[BreastRecord]:
    """Read the published image-text table: a row a breast.

    A table without folds gets some, 0 to 3, of whole patients.

    Raises
    ------
    TableError
        Columns are missing, or rows are bad: all of them are named.
    """
    rows = with_folds(read_table(path, IMAGE_TEXT))
    return [_record_of(row) for row in rows.to_dict("records")]


def with_folds(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of an image-text table with a fold of each: its own, or one that is drawn.

    The same patients always get the same folds, so that what pretraining holds out is known.
    """
    if "fold" in rows.columns:
        return rows
    patients = rows["patient_id"].tolist()
    folds = min(FOLDS, len(set(patients)))
    drawn = group_folds(patients, [0] * len(patients), folds) if folds > 1 else 0
    return rows.assign(fold=drawn)


def split_by_fold(
    records: Sequence[BreastRecord], validation_fold: int
) -> tuple[list[BreastRecord], list[BreastRecord]]:
    """Part training from validation; a patient is never in both.

    Raises
    ------
    TableError
        A patient has breasts in the validation fold and outside it, or one side is empty.
    """
    training = [record for record in records if record.fold != validation_fold]
    validation = [record for record in records if record.fold == validation_fold]
    shared = {item.patient_id for item in training} & {item.patient_id for item in validation}
    if shared:
        raise TableError(
            f"patients in fold {validation_fold} and outside, of one table or of two that are "
            f"joined: {sorted(shared)[:10]}"
        )
    if not training or not validation:
        raise TableError(f"fold {validation_fold} leaves training or validation without a breast")
    return training, validation


def _record_of(row: Mapping[str, Any]) -> BreastRecord:
    return BreastRecord(
        patient_id=row["patient_id"],
        laterality=row["laterality"],
        images={view: row[view] for view in ("CC", "MLO") if row[view]},
        report=Report(
            findings=sentences_of(row["findings"]), impression=sentences_of(row["impressions"])
        ),
        augmented=_augmented(row.get("text_augment", "")),
        fold=row["fold"],
    )


def _augmented(cell: str) -> Report | None:
    """Read a back-translation: two texts are those of findings and impression, others of both."""
    parts = parts_of(cell)
    if len(parts) != 2:
        whole = tuple(sentence for part in parts for sentence in part)
        parts = (whole, whole)
    findings, impression = parts
    return Report(findings=findings, impression=impression) if any(parts) else None
