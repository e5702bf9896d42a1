"""A stored image under another identity: its header written anew, its pixels as they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset, read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_node.errors import UnreadableFileError
from dicom_node.facts.file_meta import FileMeta
from dicom_node.facts.instance import content_offset

_PIXELS: Final = 0x7FE00000
_UTF_8: Final = "ISO_IR 192"


@contextmanager
def corrected_file(
    file: Path, attributes: Mapping[str, str]
) -> Iterator[tuple[FileMeta, BinaryIO] | None]:
    """Open a file of the spool as it is with other attributes; None if it has them already.

    Parameters
    ----------
    attributes : values by DICOM keyword

    Yields
    ------
    FileMeta, stream
        The header as it is written anew, and what follows it.

    Raises
    ------
    UnreadableFileError
        It is deflated, or cannot be read.
    """
    meta = read_file_meta_info(file)
    syntax = UID(meta.TransferSyntaxUID)
    if syntax == DeflatedExplicitVRLittleEndian:
        raise UnreadableFileError("a deflated image cannot be corrected in part")
    with file.open("rb") as stream:
        stream.seek(content_offset(file))
        try:
            header = read_dataset(
                stream,
                syntax.is_implicit_VR,
                syntax.is_little_endian,
                stop_when=lambda tag, _vr, _length: tag >= _PIXELS,
            )
            changed = _changed(header, attributes)
            content = _encoded(header, syntax) if changed else b""
        except OSError:
            raise
        except Exception as error:  # whatever a library makes of what a sender sent
            detail = f"its header cannot be written anew ({type(error).__name__})"
            raise UnreadableFileError(detail) from error
        yield (
            None
            if not changed
            else (
                FileMeta(
                    sop_class_uid=str(meta.MediaStorageSOPClassUID),
                    sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                    transfer_syntax_uid=str(syntax),
                    beginning=content,
                ),
                stream,
            )
        )


def _changed(header: Dataset, attributes: Mapping[str, str]) -> bool:
    other = {
        keyword: value
        for keyword, value in attributes.items()
        if str(header.get(keyword) or "").rstrip("^ ") != value
    }
    if not other:
        return False
    is_ascii = all(value.isascii() for value in other.values())
    if not is_ascii and header.get("SpecificCharacterSet") != _UTF_8:
        header.decode()
        header.SpecificCharacterSet = _UTF_8
    for keyword, value in other.items():
        setattr(header, keyword, value)
    return True


def _encoded(header: Dataset, syntax: UID) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    with pydicom.config.disable_value_validation():
        write_dataset(stream, header)
    return stream.getvalue()
