"""STOW-RS: objects into the spool, and the answer for each of them (PS3.18 10.5)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final

import structlog

from dicom_node.errors import NodeError, RefusedError
from dicom_node.facts.file_meta import FileMeta, Readable, read_file_meta
from dicom_node.receive.arriving_object import STATUS_OF
from dicom_node.receive.files.file_intake import FileIntake
from dicom_node.receive.files.multipart import BrokenMessageError, Multipart

log = structlog.get_logger("dicom_node.dicomweb")

DICOM: Final = "application/dicom"
_MULTIPART: Final = "multipart/related"
_NO_UIDS: Final = FileMeta(
    sop_class_uid="", sop_instance_uid="", transfer_syntax_uid="", beginning=b""
)


class UnsupportedContentError(NodeError):
    """The request's body is of another media type, or encoded."""

    reason = "unsupported-content"


@dataclass(slots=True)
class Stored:
    """What became of the objects of one request."""

    referenced: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    other_failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """HTTP status: 200 all stored, 202 some, 409 none (PS3.18 table 10.5.3-1)."""
        if not (self.failed or self.other_failures):
            return 200
        return 202 if self.referenced else 409

    @property
    def count(self) -> int:
        """Number of objects that came."""
        return len(self.referenced) + len(self.failed) + len(self.other_failures)

    def document(self) -> dict[str, Any]:
        """Return the answer in the DICOM JSON model (PS3.18 I.2)."""
        sequences = {
            "00081199": self.referenced,
            "00081198": self.failed,
            "0008119A": self.other_failures,
        }
        return {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}


def body_parts(
    content_type: str, read: Callable[[], bytes], *, longest_bytes: int
) -> Iterator[Readable]:
    """Yield each object of a request's body as it comes.

    Raises
    ------
    UnsupportedContentError
        It is neither DICOM nor a multipart message of it.
    BrokenMessageError
        It is malformed, or ends too early.
    """
    header = Message()
    header["content-type"] = content_type
    kind, boundary = header.get_content_type(), header.get_boundary()
    if kind == DICOM:
        yield _Whole(read)
        return
    of = str(header.get_param("type", DICOM)).lower()
    if kind != _MULTIPART or not boundary or of != DICOM:
        raise UnsupportedContentError(
            'send multipart/related; type="application/dicom" with a boundary'
        )
    message = Multipart(read, boundary.encode("latin-1"), longest_part_bytes=longest_bytes)
    for part in message.parts():
        if part.headers.get("content-type", DICOM).partition(";")[0].strip().lower() != DICOM:
            raise UnsupportedContentError("each part must be application/dicom")
        yield part


def store(
    parts: Iterator[Readable],
    intake: FileIntake,
    stored: Stored,
    *,
    study_instance_uid: str | None,
    maximum_objects: int,
    about: dict[str, str],
) -> None:
    """Take the objects of a request, and note what becomes of each in `stored`.

    Parameters
    ----------
    study_instance_uid : the study of the request's address; None: any
    about : for the log

    Raises
    ------
    UnsupportedContentError, BrokenMessageError
        What follows is no object; what is noted before is answered for.
    """
    for part in parts:
        if stored.count >= maximum_objects:
            raise BrokenMessageError(
                f"more than {maximum_objects} objects in a request, dicomweb.maximum_objects"
            )
        meta = _NO_UIDS
        try:
            meta = read_file_meta(part)
            intake.take_described(meta, part, study_instance_uid)
        except RefusedError as error:
            _note_failure(stored, meta, error, about)
        else:
            stored.referenced.append(_item(meta))


def _note_failure(
    stored: Stored, meta: FileMeta, error: RefusedError, about: dict[str, str]
) -> None:
    status = STATUS_OF[type(error)]
    log.warning(
        "instance_refused",
        reason=error.reason,
        detail=str(error),
        status=f"0x{status:04X}",
        sop_class=meta.sop_class_uid[:64],
        **about,
    )
    reason = {"00081197": {"vr": "US", "Value": [status]}}
    if meta.sop_instance_uid:
        stored.failed.append({**_item(meta), **reason})
    else:
        stored.other_failures.append(reason)


def _item(meta: FileMeta) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [meta.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [meta.sop_instance_uid]},
    }


class _Whole:
    """A body that is one object."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, or fewer at the end."""
        pieces, missing = [], size
        while missing:
            self._rest = self._rest or self._read()
            if not self._rest:
                break
            piece, self._rest = self._rest[:missing], self._rest[missing:]
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)
