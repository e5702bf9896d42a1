"""Any table, read by a mapping: files, patients, labels, and every contradiction by its row."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.data.mapped_cells import column_of, mapped_cells, says_anything
from training.data.mapped_files import images_by_header, patient_in_name, row_files
from training.data.splits import group_folds
from training.data.table_mapping import TEST, TRAINING, UNKNOWN, Label, TableMapping
from training.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

_FACTS: Final = ("patient", "laterality", "view", "split")
_LISTED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappedTable:
    """Images of a mapped table.

    Attributes
    ----------
    files : images
    rows : DataFrame, one row an annotation
        ``image`` (position in `files`), ``patient``, ``laterality``, ``view``, ``split``
        (training, test, held out, or empty), ``age``, ``machine``, ``report``, and each label.
    images : DataFrame, one row an image, with the same columns
        Terms are those of the image's first row that shows the finding.
    classes : label to its classes in their order, none of a yes or no
    notes : contradictions that a rule of the mapping resolved
    """

    files: tuple[Path, ...]
    rows: "pd.DataFrame"
    images: "pd.DataFrame"
    classes: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def read_mapped(
    table: Path, mapping: TableMapping, folders: Sequence[Path], *, may_be_missing: bool = False
) -> MappedTable:
    """Read a table and find its images.

    Raises
    ------
    TableError
        Columns or images are missing, or rows are bad or contradict each other: every one is
        named by its file and line.
    LeakError
        There are too few patients for the mapping's folds.
    """
    cells = mapped_cells(table, mapping)
    labels = {
        name: label for name, label in mapping.labels.items() if column_of(cells, label.column)
    }
    faults: list[str] = []
    frame = _meanings(cells, mapping, labels, faults)
    frame = _with_files(frame, table, mapping, folders, faults, may_be_missing=may_be_missing)
    _refuse(table, faults)
    files = tuple(dict.fromkeys(frame["file"]))
    frame["image"] = frame["file"].map({file: place for place, file in enumerate(files)})
    notes = _silent_images(frame, mapping)
    if mapping.image_is == "header" and set(cells["line"]) - set(frame["line"]):
        count = len(set(cells["line"]) - set(frame["line"]))
        notes.append(f"{count} rows have no DICOM image")
    _check_facts(frame, faults)
    frame = _settle_splits(frame, mapping, faults, notes)
    _settle_labels(frame, mapping, labels, faults, notes)
    _refuse(table, faults)
    how = {name: "first" for name in frame.columns if name != "image"}
    images = frame.groupby("image", sort=True).agg({**how, **dict.fromkeys(labels, "max")})
    for name in [name for name in mapping.terms if name in labels]:
        of_finding = [f"{name} {slot}" for slot in mapping.terms[name]]
        shown = frame[frame[name] == 1].drop_duplicates("image").set_index("image")[of_finding]
        images[of_finding] = shown.reindex(images.index, fill_value="")
    images = images.reset_index()
    if mapping.folds and not (frame["split"] != "").any():
        spread = images[next(iter(labels))].tolist() if labels else [0] * len(images)
        fold = group_folds(images["patient"].tolist(), spread, mapping.folds)
        images["split"] = [TEST if one == 0 else TRAINING for one in fold]
        frame["split"] = frame["image"].map(images.set_index("image")["split"])
    return MappedTable(
        files=files,
        rows=frame.reset_index(drop=True),
        images=images,
        classes={name: label.classes for name, label in labels.items()},
        notes=tuple(notes),
    )


def _meanings(
    cells: "pd.DataFrame", mapping: TableMapping, labels: Mapping[str, Label], faults: list[str]
) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame({"line": cells["line"]})
    for name in ("image", *_FACTS, "age", "machine", "report", "fold"):
        column = column_of(cells, mapping.columns.get(name, ()))
        frame[name] = ""
        if column:
            frame[name] = _each(cells, column, partial(mapping.meaning, name), faults)
    if "split" not in mapping.columns:
        frame["split"] = cells["split of the file"]
        if column_of(cells, mapping.columns.get("fold", ())):
            frame["split"] = [TEST if fold == "0" else TRAINING for fold in frame["fold"]]
    for name, label in labels.items():
        frame[name] = _each(cells, column_of(cells, label.column), label.value, faults, UNKNOWN)
    frame["says"] = says_anything(cells, mapping)
    for name, slots in mapping.terms.items():
        for slot, term in slots.items():
            given = cells[term.column].fillna("") if term.column in cells else ""
            frame[f"{name} {slot}"] = given
    return frame


def _each(
    cells: "pd.DataFrame",
    column: str,
    check: Callable[[str], Any],
    faults: list[str],
    missing: Any = "",
) -> list[Any]:
    """Return what each cell says, and `missing` where no row gives one."""
    values: list[Any] = []
    given = cells[column].notna()
    for line, cell, is_given in zip(cells["line"], cells[column], given, strict=True):
        try:
            values.append(check(cell) if is_given else missing)
        except ValueError as error:
            faults.append(f"{line}, {column}: {error}")
            values.append(None)
    return values


def _with_files(
    frame: "pd.DataFrame",
    table: Path,
    mapping: TableMapping,
    folders: Sequence[Path],
    faults: list[str],
    *,
    may_be_missing: bool,
) -> "pd.DataFrame":
    if mapping.image_is == "header":
        found = images_by_header(folders)
        known = frame.drop(columns=["view"])
        found["side"] = found["laterality"]
        on = ["patient"]
        if "laterality" in mapping.columns:
            on.append("laterality")
        else:
            known = known.drop(columns=["laterality"])
        both = known.merge(found, how="left", on=on)
        absent = both[both["file"].isna()]
        faults += [
            f"{row.line}: there is no DICOM image of patient {row.patient} "
            f"{getattr(row, 'laterality', '')}".rstrip()
            for row in absent.itertuples()
            if not may_be_missing
        ]
        return both[both["file"].notna()].reset_index(drop=True)
    empty = frame[frame["image"].fillna("") == ""]
    faults += [f"{line}: it names no image" for line in empty["line"]]
    frame = frame.drop(index=empty.index).reset_index(drop=True)
    frame["file"] = row_files(
        frame["image"].tolist(), mapping.image_is, folders, table, may_be_missing=may_be_missing
    )
    if mapping.patient_in_file_name:
        patients = []
        for line, file in zip(frame["line"], frame["file"], strict=True):
            try:
                patients.append(patient_in_name(file, mapping.patient_in_file_name))
            except ValueError as error:
                faults.append(f"{line}: {error}")
                patients.append("")
        frame["patient"] = patients
    return frame


def _silent_images(frame: "pd.DataFrame", mapping: TableMapping) -> list[str]:
    """Say how many images the second table says nothing of."""
    count = len(set(frame["file"]) - set(frame["file"][frame.pop("says")]))
    if mapping.join is None or not count:
        return []
    return [f"{count} images have no row in {mapping.join.file}: their labels are unknown"]


def _check_facts(frame: "pd.DataFrame", faults: list[str]) -> None:
    """Name the rows of one image that say different things of it."""
    for name in ("patient", "laterality", "view"):
        for file, group in _torn(frame, "file", name):
            faults.append(f"{_lines(group, name)}: {file.name} has several values of {name}")


def _settle_splits(
    frame: "pd.DataFrame", mapping: TableMapping, faults: list[str], notes: list[str]
) -> "pd.DataFrame":
    torn = _torn(frame, "patient", "split")
    for patient, group in torn:
        if mapping.patient_in_two_splits == "refuse":
            faults.append(f"{_lines(group, 'split')}: patient {patient} is in several splits")
        else:
            notes.append(
                f"{_lines(group, 'split')}: patient {patient} is in several splits, and is "
                "trained on"
            )
            frame.loc[group.index, "split"] = TRAINING
    return frame


def _settle_labels(
    frame: "pd.DataFrame",
    mapping: TableMapping,
    labels: Mapping[str, Label],
    faults: list[str],
    notes: list[str],
) -> None:
    for name in labels:
        torn = _torn(frame, "file", name)
        if mapping.several_rows == "refuse":
            faults += [
                f"{_lines(group, name)}: {file.name} differs in {name}" for file, group in torn
            ]
        elif torn:
            where = "; ".join(_lines(group, name) for _, group in torn[:_LISTED])
            more = "; ..." if len(torn) > _LISTED else ""
            notes.append(f"{len(torn)} images differ in {name}, the highest counts: {where}{more}")


def _torn(frame: "pd.DataFrame", by: str, name: str) -> "list[tuple[Any, pd.DataFrame]]":
    counts = frame.groupby(by)[name].nunique()
    gone = counts[counts > 1].index
    return list(frame[frame[by].isin(gone)].groupby(by, sort=False))


def _lines(group: "pd.DataFrame", name: str) -> str:
    """Return where a group's rows are, one for each value."""
    firsts = group.drop_duplicates(name)
    return " and ".join(
        f"{line} ({value})" for line, value in zip(firsts["line"], firsts[name], strict=True)
    )


def _refuse(table: Path, faults: Sequence[str]) -> None:
    if faults:
        listed = "\n  ".join(dict.fromkeys(faults))
        raise TableError(f"{table}: {len(dict.fromkeys(faults))} faults\n  {listed}")
