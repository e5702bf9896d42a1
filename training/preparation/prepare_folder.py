"""``mammoclip-train prepare``: tables and DICOM files in, pictures and their tables out."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from training.data.prepared_size import SETTINGS_NAME
from training.data.splits import check_no_leak
from training.data.table_formats import REPORTS, recognised
from training.data.table_mapping import TableMapping
from training.data.table_reading import read_cells, read_table
from training.data.table_writing import write_table
from training.errors import LeakError, SettingsError, TableError
from training.preparation.dicom_folder import SourceFolder
from training.preparation.dicom_header import DicomHeader
from training.preparation.mapped_own_table import described, read_as_own
from training.preparation.picture import PICTURES, Failure, Job, Picture, make_picture
from training.preparation.prepared_folder import JOURNAL_NAME, PreparedFolder, opened
from training.preparation.prepared_tables import (
    IMAGE_TEXT_NAME,
    fold_of_groups,
    moved,
    picture_row,
)
from training.preparation.processes import ProcessDiedError, worked
from training.preparation.requested_images import (
    Reference,
    Table,
    Wanted,
    find_all,
    find_wanted,
    read_headers,
    references_of,
)
from training.terminal import Progress

PICTURES_NAME: Final = "pictures.csv"
ERRORS_NAME: Final = "errors.csv"
_OWN_NAMES: Final = frozenset({PICTURES_NAME, ERRORS_NAME, SETTINGS_NAME, JOURNAL_NAME, PICTURES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be prepared.

    Attributes
    ----------
    source : folder of DICOM files
    tables : of which each picture is a row; empty for all images of the folder
    mapping : of the one table's columns and words, or None
    rows, columns : pixels of the pictures
    folds : parts of the patients that tables without a split or folds get; 0 for none
    """

    source: Path
    out: Path
    tables: tuple[Path, ...] = ()
    mapping: TableMapping | None = None
    rows: int = 1520
    columns: int = 912
    processes: int = 1
    folds: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run did.

    Attributes
    ----------
    made, kept : pictures of this run, and of earlier ones
    failures : each bad file or row
    tables : files that were written, with their number of rows
    notes : what a person should know besides
    """

    made: int
    kept: int
    failures: list[Failure]
    tables: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self, out: Path) -> Iterator[str]:
        """Yield what a person reads at the end, every failure by name."""
        for failure in self.failures:
            named = failure.file or failure.image_id
            yield f"{named}: {failure.reason}" if named else failure.reason
        yield f"{self.made} pictures made, {self.kept} were there already"
        yield from self.notes
        for name, rows in self.tables.items():
            yield f"{out / name}: {rows} rows"
        if self.failures:
            yield f"{len(self.failures)} could not be prepared: {out / ERRORS_NAME}"


def prepare_folder(order: Order, progress: Progress) -> Outcome:
    """Make the pictures and tables; takes up what an earlier run left in the same folder.

    Raises
    ------
    TableError
        Tables have bad rows: all of them are named, before anything is made.
    LeakError
        A table has a patient in several of its folds or splits.
    SettingsError
        The folder is in use, or was prepared with other settings.
    OSError
        A picture cannot be written.
    """
    if not order.source.is_dir():
        raise SettingsError(f"{order.source} is not a folder: give the folder of DICOM files")
    tables, resolved = read_tables(order)
    settings = {"format": 1, "mode": "published", "rows": order.rows, "columns": order.columns}
    with opened(order.out, settings) as folder:
        source = SourceFolder(order.source, order.out)

        def headers(files: Sequence[str]) -> Iterator[tuple[str, DicomHeader | Failure]]:
            with progress("headers", len(files)) as advance:
                yield from read_headers(
                    files, order.source, folder, processes=order.processes, advance=advance
                )

        wanted = find_wanted(tables, source, headers) if tables else find_all(source, headers)
        if not wanted.images and not wanted.failures:
            raise SettingsError(
                f"{order.source}: there is no DICOM image in this folder or below it"
            )
        pictures, failures, made = _make_pictures(order, folder, wanted, progress)
        outcome = Outcome(
            made=made,
            kept=len(pictures) - made,
            failures=[*wanted.failures.values(), *failures],
            notes=[*resolved, *_notes(source, wanted, pictures)],
        )
        _write_tables(order, tables, wanted, pictures, outcome)
    return outcome


def read_tables(order: Order) -> tuple[list[Table], tuple[str, ...]]:
    """Read and check all tables; the faults of all of them are reported at once.

    Returns
    -------
    tables, and what a rule of the mapping resolved in them
    """
    tables: list[Table] = []
    notes: tuple[str, ...] = ()
    faults: list[str] = []
    if order.mapping is not None:
        tables, notes = _mapped_table(order, order.mapping)
    for path in () if order.mapping else order.tables:
        try:
            layout = recognised(path)
            rows = read_table(path, layout)
            for column in {"fold", "split"} & set(rows.columns):
                if layout.group in rows.columns:
                    named = rows[rows[layout.group] != ""]
                    check_no_leak(named[layout.group].tolist(), named[column].tolist())
        except (TableError, LeakError) as error:
            faults.append(str(error) if isinstance(error, TableError) else f"{path}: {error}")
            continue
        tables.append(Table(path=path, layout=layout, rows=rows, cells=read_cells(path)))
    if faults:
        raise TableError("\n".join(faults))
    targets: dict[str, Path] = {}
    for table in tables:
        name = target_of(table)
        if name in targets or name in _OWN_NAMES:
            raise SettingsError(f"{table.path}: another table is written as {name}; rename it")
        if (order.out / name).exists() and (order.out / name).samefile(table.path):
            raise SettingsError(f"{table.path} lies where the prepared table would be written")
        targets[name] = table.path
    return tables, notes


def _mapped_table(order: Order, mapping: TableMapping) -> tuple[list[Table], tuple[str, ...]]:
    if len(order.tables) != 1:
        raise SettingsError(
            "--mapping is of one --table: name one; [files] of a mapping joins several"
        )
    if order.out.resolve().is_relative_to(order.source.resolve()):
        raise SettingsError(
            f"--out {order.out} lies in {order.source}, where the mapping looks for images: "
            "name another folder"
        )
    table, notes = read_as_own(order.tables[0], mapping, order.source)
    return [table], notes


def target_of(table: Table) -> str:
    """Return the name under which a table is written again."""
    if table.layout is REPORTS:
        return IMAGE_TEXT_NAME
    is_parquet = table.path.suffix.lower() == ".parquet"
    return f"{table.path.stem}.csv" if is_parquet else table.path.name


def _make_pictures(
    order: Order, folder: PreparedFolder, wanted: Wanted, progress: Progress
) -> tuple[dict[tuple[str, str], Picture], list[Failure], int]:
    """Make what is not there yet; returns all pictures, the files that gave none, and how many."""
    pictures: dict[tuple[str, str], Picture] = {}
    failures: list[Failure] = []
    jobs: list[Job] = []
    for file, image in dict.fromkeys(wanted.images.values()):
        known = folder.picture(order.source, file, image)
        if known is not None:
            pictures[file, image] = known
        else:
            size = {"rows": order.rows, "columns": order.columns}
            jobs.append(Job(source=order.source, file=file, out=order.out, image=image, **size))
    if not jobs:
        return pictures, failures, 0
    made = 0
    with progress("pictures", len(jobs)) as advance:
        for job, result in worked(make_picture, jobs, order.processes):
            if isinstance(result, Picture):
                folder.note(result)
                pictures[job.file, job.image] = result
                made += 1
            elif isinstance(result, ProcessDiedError):
                failures.append(Failure(file=job.file, reason=str(result)))
            else:
                failures.append(result)
            advance()
    return pictures, failures, made


def _write_tables(
    order: Order,
    tables: Sequence[Table],
    wanted: Wanted,
    pictures: dict[tuple[str, str], Picture],
    outcome: Outcome,
) -> None:
    import pandas as pd

    made = {
        reference: pictures[place]
        for reference, place in wanted.images.items()
        if place in pictures
    }
    size = (order.rows, order.columns)
    groups, labels = _groups_without_folds(tables, wanted)
    folds = fold_of_groups(groups, labels, order.folds)
    if groups and order.folds and not folds:
        outcome.notes.append(f"no folds: fewer than {order.folds} patients")
    for table in tables:
        frame, failures = moved(table, made, size, folds)
        outcome.failures.extend(failures)
        if frame.empty:
            outcome.notes.append(f"{target_of(table)} is not written: no row of it is left")
            continue
        write_table(order.out / target_of(table), frame)
        if order.mapping is not None:
            own_mapping = (order.out / target_of(table)).with_suffix(".toml")
            own_mapping.write_text(described(order.mapping, frame), encoding="utf-8")
            outcome.notes.append(f"{own_mapping}: for --mapping, if a label is no built-in task")
        outcome.tables[target_of(table)] = len(frame)
    own_folds = {} if tables else folds
    shown = {picture.image: (picture, reference) for reference, picture in made.items()}
    rows = [picture_row(picture, item, size, own_folds) for picture, item in shown.values()]
    if rows:
        write_table(order.out / PICTURES_NAME, pd.DataFrame(rows))
        outcome.tables[PICTURES_NAME] = len(rows)
    listed = [asdict(failure) for failure in outcome.failures]
    columns = ["file", "sop_instance_uid", "image_id", "reason"]
    write_table(order.out / ERRORS_NAME, pd.DataFrame(listed, columns=columns))


def _groups_without_folds(tables: Sequence[Table], wanted: Wanted) -> tuple[list[str], list[int]]:
    """Return patients of tables without split or folds, and 1 beside each with cancer in a row.

    They are those of all rows, whether pictures were made or not: a file that is mended later moves
    nobody to another fold.
    """
    if not tables:
        groups = [reference.group for reference in wanted.images]
        return groups, [0] * len(groups)
    groups = []
    labels = []
    for table in tables:
        if {"fold", "split"} & set(table.rows.columns):
            continue
        for index, references in references_of(table):
            is_positive = str(table.rows.loc[index].get("cancer")) in {"1", "1.0"}
            for reference in references:
                group = reference.group or _group_of(reference, wanted)
                if group:
                    groups.append(group)
                    labels.append(int(is_positive))
    return groups, labels


def _group_of(reference: Reference, wanted: Wanted) -> str:
    place = wanted.images.get(reference)
    header = None if place is None else wanted.headers.get(place[0])
    return "" if header is None else header.patient


def _notes(
    source: SourceFolder, wanted: Wanted, pictures: dict[tuple[str, str], Picture]
) -> list[str]:
    notes = []
    unread = len(set(source.files) - {file for file, _ in wanted.images.values()})
    unread -= wanted.no_images + sum(bool(item.file) for item in wanted.failures.values())
    if unread > 0:
        notes.append(f"{unread} DICOM files that no table names")
    if wanted.no_images:
        notes.append(f"{wanted.no_images} DICOM objects without an image")
    if source.passed_over:
        notes.append(f"{source.passed_over} files that are not DICOM")
    headers = [picture.header for picture in pictures.values()]
    raw = sum(header.presentation_intent == "FOR PROCESSING" for header in headers)
    if raw:
        notes.append(f"{raw} images are For Processing: the published weights saw none")
    return notes
