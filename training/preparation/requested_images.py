"""Which pictures are to be made: from the rows of tables, or of every image in a folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammoclip_core.errors import PixelError
from training.data.table_formats import IMAGE_TEXT, PLAIN, REPORTS
from training.data.table_reading import Format
from training.preparation.dicom_folder import SourceFolder, UnmatchedError
from training.preparation.dicom_header import DicomHeader, read_image_header
from training.preparation.picture import Failure
from training.preparation.picture_names import image_path, stem_of
from training.preparation.prepared_folder import PreparedFolder
from training.preparation.processes import ProcessDiedError, worked

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that was read.

    Attributes
    ----------
    rows : cells as its format's checks give them
    cells : the same rows as they stand in the file
    """

    path: Path
    layout: Format
    rows: "pd.DataFrame"
    cells: "pd.DataFrame"


@dataclass(frozen=True, slots=True)
class Reference:
    """How a row names an image of its group: by whatever of these is not empty.

    Attributes
    ----------
    group : patient or study; empty where the header tells
    image_id : name of the file, or SOP Instance UID
    file : path
    """

    group: str
    image_id: str = ""
    file: str = ""
    sop_instance_uid: str = ""

    @property
    def uid(self) -> str:
        """Return the SOP Instance UID, if this is one."""
        uid = self.sop_instance_uid or stem_of(self.image_id)
        is_uid = "." in uid and uid.replace(".", "").isdigit() and len(uid) <= 64
        return uid if is_uid else ""

    @property
    def name(self) -> str:
        """Return what a person knows the image by."""
        return self.image_id or self.file or self.sop_instance_uid


@dataclass(slots=True, kw_only=True)
class Wanted:
    """What is to be prepared.

    Attributes
    ----------
    images : (file, picture) by reference, paths below source and pictures
    failures : references that are no file, by reference; files that are no image have none
    headers : of files whose header was needed
    no_images : DICOM objects without pixels that were passed over
    """

    images: dict[Reference, tuple[str, str]] = field(default_factory=dict)
    failures: dict[Reference, Failure] = field(default_factory=dict)
    headers: dict[str, DicomHeader] = field(default_factory=dict)
    no_images: int = 0


DicomHeaders = Callable[[Sequence[str]], Iterator[tuple[str, DicomHeader | Failure]]]
"""Reads the headers of files."""


def references_of(table: Table) -> list[tuple[int, list[Reference]]]:
    """Return what each row names: its index, and one image or, in an image-text table, several."""
    found = []
    for index, row in zip(table.rows.index, table.rows.to_dict("records"), strict=True):
        group = str(row.get(table.layout.group) or "")
        if table.layout is IMAGE_TEXT:
            names = dict.fromkeys((*row.get("image", ()), *row["CC"], *row["MLO"]))
            found.append((index, [Reference(group, name) for name in names]))
        elif table.layout is PLAIN:
            found.append((index, [_plain_reference(row, group)]))
        else:
            found.append((index, [Reference(group, row["image_id"])]))
    return found


def _plain_reference(row: Mapping[str, Any], group: str) -> Reference:
    names = (row.get(column) or "" for column in ("image_id", "file", "sop_instance_uid"))
    return Reference(group, *names)


def find_wanted(tables: Sequence[Table], source: SourceFolder, headers: DicomHeaders) -> Wanted:
    """Find the file of every image that the tables name."""
    wanted = Wanted()
    references = dict.fromkeys(
        reference for table in tables for _, named in references_of(table) for reference in named
    )
    files: dict[Reference, str] = {}
    unknown: list[Reference] = []
    for reference in references:
        try:
            found = (
                source.named(reference.file)
                if reference.file
                else source.of_image(reference.image_id, reference.group)
            )
        except UnmatchedError as error:
            wanted.failures[reference] = Failure(image_id=reference.name, reason=str(error))
            continue
        if found is None:
            unknown.append(reference)
        else:
            files[reference] = found
    _find_by_uid(unknown, files, wanted, source, headers)
    asks_headers = any(table.layout in (PLAIN, REPORTS) for table in tables)
    needed = [file for file in dict.fromkeys(files.values()) if file not in wanted.headers]
    bad: dict[str, Failure] = {}
    for file, header in headers(needed) if asks_headers else ():
        if isinstance(header, Failure):
            bad[file] = header
        else:
            wanted.headers[file] = header
    shown_by: dict[str, str] = {}
    for reference, file in files.items():
        if file in bad:
            wanted.failures[reference] = bad[file]
            continue
        own = wanted.headers.get(file)
        group = reference.group or (own.patient if own else "")
        image = image_path(group, reference.image_id or (own.sop_instance_uid if own else ""))
        if shown_by.setdefault(image, file) == file:
            wanted.images[reference] = (file, image)
        else:
            wanted.failures[reference] = Failure(
                file=file,
                image_id=reference.name,
                reason=f"its picture would have the name of that of {shown_by[image]}",
            )
    return wanted


def _find_by_uid(
    unknown: Sequence[Reference],
    files: dict[Reference, str],
    wanted: Wanted,
    source: SourceFolder,
    headers: DicomHeaders,
) -> None:
    """Look for what no file is named after among the SOP Instance UIDs of the other files."""
    by_uid: dict[str, list[str]] = {}
    if any(item.uid for item in unknown):
        taken = set(files.values())
        for file, header in headers([file for file in source.files if file not in taken]):
            if isinstance(header, DicomHeader):
                wanted.headers[file] = header
                by_uid.setdefault(header.sop_instance_uid, []).append(file)
    for reference in unknown:
        found = by_uid.get(reference.uid, [])
        if len(found) == 1:
            files[reference] = found[0]
        else:
            reason = (
                f"several files have this SOP Instance UID: {', '.join(sorted(found)[:3])}"
                if found
                else "no file is named so, nor has this SOP Instance UID"
            )
            wanted.failures[reference] = Failure(image_id=reference.name, reason=reason)


def find_all(source: SourceFolder, headers: DicomHeaders) -> Wanted:
    """Want a picture of every image in a folder, each named by its SOP Instance UID."""
    wanted = Wanted()
    first: dict[str, str] = {}
    read = dict(headers(source.files))
    for file in source.files:
        header = read[file]
        if isinstance(header, Failure):
            wanted.failures[Reference("", file=file)] = header
            continue
        if not header.is_image:
            wanted.no_images += 1
            continue
        uid = header.sop_instance_uid
        reference = Reference(header.patient, uid, file, uid)
        if uid in first:
            wanted.failures[reference] = Failure(
                file=file,
                sop_instance_uid=uid,
                reason=f"has the SOP Instance UID of {first[uid]}",
            )
            continue
        first[uid] = file
        wanted.headers[file] = header
        wanted.images[reference] = (file, image_path(header.patient, uid))
    return wanted


def read_headers(
    files: Sequence[str],
    source: Path,
    folder: PreparedFolder,
    *,
    processes: int,
    advance: Callable[[], None],
) -> Iterator[tuple[str, DicomHeader | Failure]]:
    """Read the headers of files by several processes; those of finished pictures are known."""
    unread = []
    for file in files:
        known = folder.known_header(source, file)
        if known is None:
            unread.append((source, file))
        else:
            advance()
            yield file, known
    for (_, file), header in worked(_header_of, unread, processes) if unread else ():
        advance()
        if isinstance(header, ProcessDiedError):
            yield file, Failure(file=file, reason=str(header))
        else:
            yield file, header


def _header_of(place: tuple[Path, str]) -> DicomHeader | Failure:
    source, file = place
    try:
        return read_image_header(source / file)
    except (PixelError, OSError) as error:
        reason = str(error) if isinstance(error, PixelError) else type(error).__name__
        return Failure(file=file, reason=reason)
