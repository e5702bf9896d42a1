"""Reads the file meta information of a DICOM file that is not the node's own, within bounds."""

from dataclasses import dataclass
from typing import Final, Protocol

from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.errors import UnreadableFileError

_LONGEST_BYTES: Final = 65_536
"""Size of file meta information beyond which it is none; a real one has some hundred bytes."""

_PREFIX: Final = b"DICM"
_PREAMBLE_BYTES: Final = 128
_GROUP_LENGTH: Final = 0x0000
_SOP_CLASS: Final = 0x0002
_SOP_INSTANCE: Final = 0x0003
_TRANSFER_SYNTAX: Final = 0x0010
_LONG_FORM: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)


class Readable(Protocol):
    """A file, or the part of a message, of which the next bytes can be read."""

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, or fewer at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What a file says of its data set (PS3.10 7.1).

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : without padding; may hold anything
    beginning : bytes of the data set that were read already
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    beginning: bytes


def read_file_meta(stream: Readable) -> FileMeta:
    """Read preamble and file meta information; the stream then stands behind `beginning`.

    The group's length is not relied on, since some files state none or a wrong one.

    Raises
    ------
    UnreadableFileError
        These are not the first bytes of a DICOM file.
    """
    start = _exactly(stream, _PREAMBLE_BYTES + len(_PREFIX))
    if start[_PREAMBLE_BYTES:] != _PREFIX:
        raise UnreadableFileError("it is no DICOM file: no DICM after 128 bytes (PS3.10 7.1)")
    values: dict[int, bytes] = {}
    size, stated_end = 0, -1
    while True:
        head = stream.read(8)
        deflated = _text(values, _TRANSFER_SYNTAX) == DeflatedExplicitVRLittleEndian
        # Of a deflated data set the first bytes may be any: there the stated length decides.
        if len(head) < 8 or head[:2] != b"\x02\x00" or (deflated and size == stated_end):
            break
        element = int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[6:8], "little")
        size += 8
        if head[4:6] in _LONG_FORM:
            length = int.from_bytes(_exactly(stream, 4), "little")
            size += 4
        elif not (head[4:6].isalpha() and head[4:6].isupper()):
            raise UnreadableFileError("its file meta information is not Explicit VR (PS3.10 7.1)")
        size += length
        if size > _LONGEST_BYTES:
            raise UnreadableFileError("its file meta information is too long to be any")
        values[element] = _exactly(stream, length)
        if element == _GROUP_LENGTH:
            stated_end = size + int.from_bytes(values[element], "little")
    if not _text(values, _TRANSFER_SYNTAX):
        raise UnreadableFileError("its file meta information names no transfer syntax (0002,0010)")
    return FileMeta(
        sop_class_uid=_text(values, _SOP_CLASS),
        sop_instance_uid=_text(values, _SOP_INSTANCE),
        transfer_syntax_uid=_text(values, _TRANSFER_SYNTAX),
        beginning=head,
    )


def _text(values: dict[int, bytes], element: int) -> str:
    return values.get(element, b"").decode("ascii", errors="replace").strip(" \0")


def _exactly(stream: Readable, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise UnreadableFileError("it ends within its file meta information")
    return found
