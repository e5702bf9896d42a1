"""QIDO-RS and WADO-RS over the ledger and the spool, read-only (PS3.18 10.4, 10.6)."""

import secrets
from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from dicom_node.dicomweb.frames import frames_of
from dicom_node.dicomweb.holdings import HeldObject, HeldStudy, held_objects, held_studies
from dicom_node.dicomweb.searching import (
    LOOKED_AT,
    Headers,
    Query,
    instance_answers,
    series_answers,
    study_answers,
)
from dicom_node.dicomweb.stored_header import JsonObject, header_of, transfer_syntax_of
from dicom_node.errors import NodeError
from dicom_node.pictures import Pictures
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.search.identified import identified

log = structlog.get_logger("dicom_node.dicomweb")

_PIECE_BYTES: Final = 262_144
_STUDY: Final = "0020000D"


class NotHeldError(NodeError):
    """The node does not have the object, or has removed its file."""

    reason = "not-held"


class Shelf:
    """What the node holds, for whoever may read.

    Parameters
    ----------
    root : URL of the service, for the addresses in answers, is given with each question
    """

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self._headers = Headers()
        self._pictures = Pictures()

    def studies(self, query: Query, root: str) -> tuple[list[JsonObject], bool]:
        """Return studies that match, and whether older ones were not looked at.

        Those that the index of identifiers names are looked at, however old they are.
        """
        wanted = [uid for uid in query.matches.get(_STUDY, "").replace("\\", ",").split(",") if uid]
        limit = LOOKED_AT if query.reads_headers else query.limit + query.offset
        with self._database.reading() as session:
            found = held_studies(session, wanted[:LOOKED_AT], limit=limit + 1)
            named = identified(session, query.by_keyword(), limit=LOOKED_AT)
            if named and not wanted:
                newest = {one.study_instance_uid for one in found[:limit]}
                older = [uid for uid in named if uid not in newest]
                found = (
                    [*found[:limit], *held_studies(session, older, limit=limit)] if older else found
                )
                limit = len(found)
            held: list[tuple[HeldStudy, list[HeldObject]]] = [
                (one, held_objects(session, self._spool, one.study_instance_uid))
                for one in found[:limit]
            ]
        answers = study_answers(held, query, self._headers, root)
        is_cut = query.reads_headers and len(found) > limit and len(answers) < query.limit
        return answers, is_cut

    def series(self, study: str, query: Query, root: str) -> list[JsonObject]:
        """Return the series of a study."""
        return series_answers(self._objects(study), query, self._headers, root)

    def instances(
        self, study: str, series: str | None, query: Query, root: str
    ) -> list[JsonObject]:
        """Return the objects of a study, or of one of its series."""
        return instance_answers(self._objects(study, series), query, self._headers, root)

    def metadata(
        self, study: str, series: str | None, instance: str | None, root: str
    ) -> list[JsonObject]:
        """Return the attributes of objects, without bulk data.

        Raises
        ------
        NotHeldError
        """
        found = []
        for held in self.held(study, series, instance):
            header = header_of(held)
            for element in header.values():
                if "BulkDataURI" in element:
                    element["BulkDataURI"] = f"{root}/{element['BulkDataURI']}"
            found.append(header)
        return found

    def held(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[HeldObject]:
        """Return objects whose files are there.

        Raises
        ------
        NotHeldError
            There is none.
        """
        found = [
            held
            for held in self._objects(study, series)
            if instance in {None, held.sop_instance_uid} and held.file.is_file()
        ]
        if not found:
            raise NotHeldError("the node holds no such object")
        return found

    def frames(self, study: str, series: str, instance: str, numbers: list[int]) -> "Parts":
        """Return frames of an object, as they are stored.

        Raises
        ------
        NotHeldError, NoSuchFrameError
        """
        (held, *_) = self.held(study, series, instance)
        return Parts((kind, [frame]) for kind, frame in frames_of(held.file, numbers))

    def rendered(
        self, study: str, series: str, instance: str, *, frame: int, long_side: int
    ) -> bytes:
        """Return a frame as a JPEG picture, as a viewer would show it.

        Parameters
        ----------
        long_side : pixels, at most

        Raises
        ------
        NotHeldError, NoPictureError
        """
        (held, *_) = self.held(study, series, instance)
        return self._pictures.of(held.file, long_side, frame)

    def _objects(self, study: str, series: str | None = None) -> list[HeldObject]:
        with self._database.reading() as session:
            found = held_objects(session, self._spool, study)
        return [held for held in found if series in {None, held.series_instance_uid}]


class Parts:
    """The body of an answer of several parts (PS3.18 8.6.1.2), which is made as it is sent."""

    def __init__(self, parts: Iterable[tuple[str, Iterable[bytes]]]) -> None:
        self._parts = parts
        self.boundary = secrets.token_hex(16)

    def __iter__(self) -> Iterator[bytes]:
        for kind, pieces in self._parts:
            yield f"--{self.boundary}\r\nContent-Type: {kind}\r\n\r\n".encode()
            yield from pieces
            yield b"\r\n"
        yield f"--{self.boundary}--\r\n".encode()


def files_of(objects: Iterable[HeldObject]) -> Parts:
    """Return the files of objects as they are stored."""
    return Parts(
        (f"application/dicom; transfer-syntax={transfer_syntax_of(held.file)}", _pieces(held))
        for held in objects
    )


def _pieces(held: HeldObject) -> Iterator[bytes]:
    with held.file.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece
