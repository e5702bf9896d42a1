"""Labelled images from the published tables: files, labels, patients and parts of the split."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.data.held_out_patients import held_out
from training.data.image_files import find_listed, find_named
from training.data.mapped_table import read_mapped
from training.data.picture_check import require_usable
from training.data.splits import check_no_leak, group_folds
from training.data.table_cells import age
from training.data.table_formats import PICTURES, RSNA, VINDR_FINDINGS, image_labels
from training.data.table_mapping import (
    HELD_OUT,
    TEST,
    TRAINING,
    UNKNOWN,
    TableMapping,
    read_mapping,
)
from training.data.table_reading import read_cells, read_table
from training.downstream.tasks import DataSet
from training.errors import TableError
from training.terminal import Say

if TYPE_CHECKING:
    import pandas as pd

DENSITIES: Final = "ABCD"
_RSNA_FOLDS: Final = 4
_RSNA_TEST_FOLD: Final = 0
_RSNA_UNUSED_FOLD: Final = 3
"""The published evaluation trains on folds 1 and 2 and never looks at this one."""

_VINDR_BREASTS: Final = frozenset({"study_id", "image_id", "breast_birads", "breast_density"})
"""What VinDr-Mammo's table of breasts has, also when `prepare` has added names of pictures."""

_OWN_TEST_FOLD: Final = 0

_FINDINGS: Final = ("mass", "suspicious_calcification", "malignancy")
_COLUMNS: Final = ("image", "patient", "breast", "part", "view", "density", "machine", "age")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImages:
    """Images of one table, each once, and its rows.

    Attributes
    ----------
    files : images
    rows, images : DataFrames
        One row an annotation, as published, and one an image. Columns: ``image`` (position in
        `files`), ``patient``, ``breast``, ``part`` (training, held out, test), ``view``,
        ``machine``, ``age``, ``density`` (0 to 3 or `UNKNOWN`), and of each finding that the
        table knows 0 or 1.
    held_out_is_training : bool
        The published evaluation trains on what we hold out.
    labels : of a mapped table, each label's classes in their order; none of a yes or no
    notes : what was resolved by a rule, in words
    """

    data: DataSet
    table: Path
    files: tuple[Path, ...]
    rows: "pd.DataFrame"
    images: "pd.DataFrame"
    held_out_is_training: bool
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_usable_pictures(self, *, skip: bool, say: Say) -> "LabelledImages":
        """Leave out images whose pictures are missing or damaged, or refuse them: TableError."""
        for note in self.notes:
            say(f"{self.table.name}: {note}")
        if set(self.images["part"]) == {TRAINING, HELD_OUT}:
            say(f"{self.table.name}: no image is of the test part")
        gone = require_usable(self.files, skip=skip, say=say)
        if not gone:
            return self
        left = [place for place, file in enumerate(self.files) if file not in gone]
        if not left:
            raise TableError(f"{self.table}: none of its pictures can be used")
        new_places = {place: number for number, place in enumerate(left)}

        def of_those(frame: "pd.DataFrame") -> "pd.DataFrame":
            kept = frame[frame["image"].isin(left)].reset_index(drop=True)
            return kept.assign(image=kept["image"].map(new_places))

        return replace(
            self,
            files=tuple(self.files[place] for place in left),
            rows=of_those(self.rows),
            images=of_those(self.images),
        )

    def require(self, label: str) -> None:
        """Refuse a label that the table does not have; raises TableError."""
        if label not in self.images.columns:
            known = [
                name
                for name in dict.fromkeys((*self.labels, *_FINDINGS, "density"))
                if name in self.images.columns
            ]
            raise TableError(
                f"{self.table}: there is no column of labels for {label}; it has {', '.join(known)}"
            )


def read_labelled(
    table: Path,
    folders: Sequence[Path],
    seed: int = 0,
    *,
    may_be_missing: bool = False,
    mapping: TableMapping | None = None,
) -> LabelledImages:
    """Read a table of VinDr-Mammo's findings or breasts, of RSNA, or of your own, and find images.

    A table of your own has the columns ``file`` and ``patient_id``, any of ``mass``,
    ``suspicious_calcification``, ``malignancy`` (0 or 1) and ``density`` (A to D), and may have
    ``laterality``, ``view``, and ``split`` or ``fold``, of which fold 0 is the test part. Of what
    `mammoclip-train prepare` writes, ``image`` is taken in place of ``file``. An empty label is
    unknown.

    Parameters
    ----------
    folders : where images lie, at any depth
        VinDr's and RSNA's are found by their image's name.
    seed : of what is held out
    may_be_missing : bool
        Keep rows whose image is missing, for `LabelledImages.with_usable_pictures`.
    mapping : what the columns and words of any other table mean

    Raises
    ------
    TableError
        The table is none of these, has bad rows, or images are missing.
    SettingsError
        There are too few patients to hold any out.
    """
    if mapping is not None:
        return _read_mapped(table, mapping, folders, seed, may_be_missing=may_be_missing)
    head = set(read_cells(table).columns)
    if "finding_categories" in head:
        return _read_vindr(table, folders, seed, may_be_missing=may_be_missing)
    if "difficult_negative_case" in head:
        return _read_rsna(table, folders, seed, may_be_missing=may_be_missing)
    if head >= _VINDR_BREASTS:
        vindr = read_mapping("vindr")
        return _read_mapped(table, vindr, folders, seed, may_be_missing=may_be_missing)
    if head & {"file", "image"}:
        return _read_own(table, folders, seed, may_be_missing=may_be_missing)
    raise TableError(
        f"{table} is neither VinDr-Mammo's finding table, nor RSNA's, nor one with a column "
        "file or image: say with --mapping what its columns mean, or, where image_id or "
        "sop_instance_uid names DICOM images, make pictures and table by `mammoclip-train prepare`"
    )


def _read_vindr(
    table: Path, folders: Sequence[Path], seed: int, *, may_be_missing: bool
) -> LabelledImages:
    rows = read_table(table, VINDR_FINDINGS)
    images = image_labels(rows)
    files = find_named(
        folders,
        images["study_id"].tolist(),
        images["image_id"].tolist(),
        table,
        may_be_missing=may_be_missing,
    )
    place = {name: number for number, name in enumerate(images["image_id"])}
    rows["Mass"], rows["Suspicious_Calcification"] = (
        [int(category in cell) for cell in rows["finding_categories"]]
        for category in ("Mass", "Suspicious Calcification")
    )
    check_no_leak(images["study_id"].tolist(), images["split"].tolist())
    is_held_out = _held_out(images["study_id"], images["Mass"], images["split"] == TRAINING, seed)
    part = dict(
        zip(images["image_id"], np.where(is_held_out, HELD_OUT, images["split"]), strict=True)
    )

    def plain(frame: "pd.DataFrame") -> "pd.DataFrame":
        return _frame(
            image=[place[name] for name in frame["image_id"]],
            patient=frame["study_id"],
            breast=frame["study_id"] + " " + frame["laterality"],
            part=[part[name] for name in frame["image_id"]],
            view=frame["view_position"],
            density=[DENSITIES.index(words[-1]) for words in frame["breast_density"]],
            machine=frame.get("machine_id", ""),
            age=frame.get("age", np.nan),
            mass=frame["Mass"],
            suspicious_calcification=frame["Suspicious_Calcification"],
        )

    return LabelledImages(
        data=DataSet.VINDR,
        table=table,
        files=files,
        rows=plain(rows),
        images=plain(images),
        held_out_is_training=True,
    )


def _read_rsna(
    table: Path, folders: Sequence[Path], seed: int, *, may_be_missing: bool
) -> LabelledImages:
    rows = read_table(table, RSNA)
    files = find_named(
        folders,
        rows["patient_id"].tolist(),
        rows["image_id"].tolist(),
        table,
        may_be_missing=may_be_missing,
    )
    fold = (
        rows["fold"].to_numpy()
        if "fold" in rows
        else group_folds(rows["patient_id"].tolist(), rows["cancer"].tolist(), _RSNA_FOLDS, seed)
    )
    check_no_leak(rows["patient_id"].tolist(), fold.tolist())
    part = np.select(
        [fold == _RSNA_TEST_FOLD, fold == _RSNA_UNUSED_FOLD], [TEST, HELD_OUT], TRAINING
    )
    images = _frame(
        image=np.arange(len(rows)),
        patient=rows["patient_id"],
        breast=rows["patient_id"] + " " + rows["laterality"],
        part=part,
        view=rows["view"],
        density=[_density(cell) for cell in rows["density"]],
        machine=rows["machine_id"],
        age=rows["age"],
        malignancy=rows["cancer"],
    )
    return LabelledImages(
        data=DataSet.RSNA,
        table=table,
        files=files,
        rows=images,
        images=images,
        held_out_is_training=False,
    )


def _read_own(
    table: Path, folders: Sequence[Path], seed: int, *, may_be_missing: bool
) -> LabelledImages:
    rows = read_table(table, PICTURES)
    files = find_listed(
        folders,
        rows["image" if "image" in rows else "file"].tolist(),
        table,
        may_be_missing=may_be_missing,
    )
    _refuse_repeated(table, rows, files)
    if "split" not in rows:
        rows["split"] = ""
        if "fold" in rows:
            rows["split"] = np.where(rows["fold"] == _OWN_TEST_FOLD, TEST, TRAINING)
    check_no_leak(rows["patient_id"].tolist(), rows["split"].tolist())
    labels = rows[next((name for name in _FINDINGS if name in rows), "patient_id")]
    side = rows["laterality"] if "laterality" in rows else [""] * len(rows)
    images = _frame(
        image=np.arange(len(rows)),
        patient=rows["patient_id"],
        breast=_breasts(rows["patient_id"], side, rows.index),
        part=_parts(rows["split"], rows["patient_id"], labels, seed),
        view=rows.get("view", ""),
        density=[_density(cell) for cell in rows["density"]] if "density" in rows else UNKNOWN,
        machine=rows.get("machine_id", ""),
        age=rows.get("age", np.nan),
        **{name: rows[name] for name in _FINDINGS if name in rows},
    )
    return LabelledImages(
        data=DataSet.OWN,
        table=table,
        files=files,
        rows=images,
        images=images,
        held_out_is_training=True,
    )


def _read_mapped(
    table: Path,
    mapping: TableMapping,
    folders: Sequence[Path],
    seed: int,
    *,
    may_be_missing: bool,
) -> LabelledImages:
    read = read_mapped(table, mapping, folders, may_be_missing=may_be_missing)
    label = read.images[next(iter(read.classes), "patient")]
    part = _parts(read.images["split"], read.images["patient"], label, seed)

    def own(frame: "pd.DataFrame") -> "pd.DataFrame":
        labels = {name: frame[name] for name in read.classes}
        labels.setdefault("density", UNKNOWN)
        return _frame(
            image=frame["image"],
            patient=frame["patient"],
            breast=_breasts(frame["patient"], frame["laterality"], frame["image"]),
            part=part[frame["image"]],
            view=frame["view"],
            machine=frame["machine"],
            age=[age(cell) for cell in frame["age"]],
            **labels,
        )

    return LabelledImages(
        data=DataSet.OWN,
        table=table,
        files=read.files,
        rows=own(read.rows),
        images=own(read.images),
        held_out_is_training=True,
        labels=read.classes,
        notes=read.notes,
    )


def _breasts(patients: Iterable[str], sides: Iterable[str], images: Iterable[Any]) -> list[str]:
    """Name the breast of each image; one of an unknown side stands for a breast of its own."""
    return [
        f"{patient} {side or f'image {image}'}"
        for patient, side, image in zip(patients, sides, images, strict=True)
    ]


def _refuse_repeated(table: Path, rows: "pd.DataFrame", files: Sequence[Path]) -> None:
    """Refuse rows that name one file by several spellings: they may say different things of it."""
    first: dict[str, Any] = {}
    faults = []
    for line, file in zip(rows.index, files, strict=True):
        former = first.setdefault(os.path.realpath(file), line)
        if former != line:
            faults.append(f"lines {former} and {line} name the same file, {file}")
    if faults:
        raise TableError(f"{table}: {len(faults)} faults\n  " + "\n  ".join(faults))


def _parts(
    given: "pd.Series[str]", patients: "pd.Series[str]", labels: "pd.Series[Any]", seed: int
) -> NDArray[np.object_]:
    """Return each image's part; where the table holds no patient out, a fifth of training is."""
    part: NDArray[np.object_] = given.to_numpy(dtype=object, copy=True)
    if not (given != "").any():
        part[:] = HELD_OUT
    elif not (given == HELD_OUT).any():
        part[_held_out(patients, labels, given == TRAINING, seed)] = HELD_OUT
    return part


def _held_out(
    patients: "pd.Series[str]", labels: "pd.Series[int]", training: "pd.Series[bool]", seed: int
) -> NDArray[np.bool_]:
    """Choose a fifth of the training patients."""
    chosen = np.zeros(len(patients), np.bool_)
    inside = np.flatnonzero(training)
    chosen[inside] = held_out(patients.iloc[inside].tolist(), labels.iloc[inside].tolist(), seed)
    return chosen


def _frame(**columns: Any) -> "pd.DataFrame":
    import pandas as pd

    plain = {
        name: value.to_numpy() if isinstance(value, pd.Series) else value
        for name, value in columns.items()
    }
    return pd.DataFrame(plain, index=range(len(plain["image"])))


def _density(cell: str) -> int:
    return DENSITIES.index(cell) if cell and cell in DENSITIES else UNKNOWN
