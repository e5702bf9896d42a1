"""One DICOM file to one picture, and what has to be known of it to move boxes along."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mammoclip_core.errors import PixelError
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.picture_file import prepared_png
from mammoclip_core.images.preprocessing import (
    PUBLISHED_MEAN,
    PUBLISHED_STD,
    CropGeometry,
    PreparedImage,
    Runs,
    prepare,
)
from mammoclip_core.manifest import PUBLISHED_MODE, Preprocessing
from training.preparation.dicom_header import DicomHeader, read_image_header
from training.whole_file import whole_file

PICTURES: Final = "png"
"""Folder of the pictures, below the prepared folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to make.

    Attributes
    ----------
    source : folder of the DICOM files
    file, image : paths below `source` and below the folder of pictures
    out : prepared folder
    """

    source: Path
    file: str
    out: Path
    image: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A finished picture and the way to it.

    Attributes
    ----------
    file, image : paths, as in `Job`
    file_bytes, file_time : size and time of change, ns, of the DICOM file
    image_bytes : size of the picture's file
    source_rows, source_columns : pixels of the DICOM image
    column_runs, row_runs : which of them the picture shows, as in CropGeometry
    """

    file: str
    file_bytes: int
    file_time: int
    image: str
    image_bytes: int
    header: DicomHeader
    source_rows: int
    source_columns: int
    column_runs: Runs
    row_runs: Runs

    def geometry(self, rows: int, columns: int) -> CropGeometry:
        """Return the way from the image's pixels to those of the picture of this size."""
        return CropGeometry(
            column_runs=self.column_runs,
            row_runs=self.row_runs,
            input_rows=rows,
            input_columns=columns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file, or a row of a table, that no picture could be made of.

    Attributes
    ----------
    file : path below the source; empty where none was found
    image_id : as the table has it; empty without a table
    """

    file: str = ""
    sop_instance_uid: str = ""
    image_id: str = ""
    reason: str


def preprocessing_of(rows: int, columns: int) -> Preprocessing:
    """Return the published preprocessing at some size."""
    return Preprocessing(
        mode=PUBLISHED_MODE, rows=rows, columns=columns, mean=PUBLISHED_MEAN, std=PUBLISHED_STD
    )


def make_picture(job: Job) -> Picture | Failure:
    """Make one picture; it has its name only once it is whole.

    Raises
    ------
    OSError
        The picture cannot be written: the next one could not either.
    """
    path = job.source / job.file
    sop_instance_uid = ""
    try:
        before = path.stat()
        header = read_image_header(path)
        sop_instance_uid = header.sop_instance_uid
        prepared = _prepared(path, header, job)
        encoded = prepared_png(prepared.grey)
    except PixelError as error:
        return Failure(file=job.file, sop_instance_uid=sop_instance_uid, reason=str(error))
    except FileNotFoundError:
        return Failure(file=job.file, reason="there is no such file any more")
    except Exception as error:  # noqa: BLE001 - the outermost loop of a process; others go on
        return Failure(
            file=job.file,
            sop_instance_uid=sop_instance_uid,
            reason=f"{type(error).__name__} while it was prepared: please report it",
        )
    _write(job.out / PICTURES / job.image, encoded)
    return Picture(
        file=job.file,
        file_bytes=before.st_size,
        file_time=before.st_mtime_ns,
        image=job.image,
        image_bytes=len(encoded),
        header=header,
        source_rows=prepared.source_rows,
        source_columns=prepared.source_columns,
        column_runs=prepared.geometry.column_runs,
        row_runs=prepared.geometry.row_runs,
    )


def _prepared(path: Path, header: DicomHeader, job: Job) -> PreparedImage:
    if header.frames > 1:
        raise PixelError(f"{header.frames} frames: only images of one frame are prepared")
    return prepare(read_pixels(path), preprocessing_of(job.rows, job.columns))


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as stream:
        stream.write(content)
