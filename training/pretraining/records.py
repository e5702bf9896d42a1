"""What pretraining knows of a breast: its images by view, and a report or labels."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from training.errors import TableError
from training.report_synthesis import Observation
from training.report_text import Report, clean_section

COLUMNS: Final = (
    "patient_id",
    "laterality",
    "view",
    "CC",
    "MLO",
    "findings",
    "impressions",
    "fold",
)


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


def read_image_text_table(path: Path) -> list[BreastRecord]:
    """Read the published image-text table: a row a breast, lists as Python lists in text.

    Raises
    ------
    TableError
        Columns are missing, or rows are bad: all of them are named.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise TableError(f"{path.name}: no table of comma-separated values: {error}") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise TableError(f"{path.name}: no column {', '.join(missing)}")
    records, complaints = [], []
    for number, row in enumerate(table.to_dict("records"), start=2):
        try:
            records.append(_record_of(row))
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            complaints.append(f"line {number}: {error}")
    if complaints:
        raise TableError(f"{path.name}: {len(complaints)} bad rows\n" + "\n".join(complaints))
    if not records:
        raise TableError(f"{path.name}: no row")
    return records


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
        raise TableError(f"patients in fold {validation_fold} and outside: {sorted(shared)[:10]}")
    if not training or not validation:
        raise TableError(f"fold {validation_fold} leaves training or validation without a breast")
    return training, validation


def _record_of(row: Mapping[str, Any]) -> BreastRecord:
    laterality = {"L": "L", "R": "R", "LEFT": "L", "RIGHT": "R"}.get(row["laterality"].upper())
    if laterality is None:
        raise ValueError(f"laterality {row['laterality']!r} is neither L nor R")
    images = {view: names for view in ("CC", "MLO") if (names := _list_of(row[view]))}
    report = Report(findings=_sentences(row["findings"]), impression=_sentences(row["impressions"]))
    if not report.sections:
        raise ValueError("findings and impressions are empty")
    return BreastRecord(
        patient_id=row["patient_id"],
        laterality=laterality,
        images=images,
        report=report,
        augmented=_augmented(row.get("text_augment", "")),
        fold=int(float(row["fold"] or 0)),
    )


def _list_of(text: str) -> tuple[str, ...]:
    if not text.strip():
        return ()
    value = ast.literal_eval(text) if text.lstrip().startswith("[") else [text]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{text[:60]!r} is no list of texts")
    return tuple(value)


def _sentences(text: str) -> tuple[str, ...]:
    """Read a section: a list of sentences, or one text; the sentences are cleaned."""
    if text.lstrip().startswith("["):
        return tuple(item for part in _list_of(text) for item in clean_section(part))
    return clean_section(text)


def _augmented(text: str) -> Report | None:
    sentences = _sentences(text)
    return Report(findings=sentences) if sentences else None
