"""The DICOMweb service as an ASGI application: requests in, answers out."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Literal

import anyio
import anyio.from_thread
import anyio.to_thread
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dicom_node.dicomweb.access import NotAdmittedError, admitted
from dicom_node.dicomweb.frames import NoSuchFrameError
from dicom_node.dicomweb.reading import NotHeldError, Shelf
from dicom_node.dicomweb.reading_routes import (
    NotAcceptableError,
    NotFoundError,
    reading_routes,
    require_uid,
)
from dicom_node.dicomweb.searching import WrongQueryError
from dicom_node.dicomweb.storing import Stored, UnsupportedContentError, body_parts, store
from dicom_node.errors import NodeError
from dicom_node.pictures import NoPictureError
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.receive.files.multipart import BrokenMessageError
from dicom_node.serving.hosts import is_own_name
from dicom_node.serving.http_process import CERTIFICATE
from dicom_node.settings.ways_in.dicomweb import DicomwebClientSettings, DicomwebSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.open_associations import NoPlaceError

log = structlog.get_logger("dicom_node.dicomweb")

ROOT: Final = "/dicomweb"
_DICOM_JSON: Final = "application/dicom+json"
_JSON_TYPES: Final = frozenset({_DICOM_JSON, "application/json", "application/*", "*/*"})
_PIECE_BYTES: Final = 262_144


class SlowBodyError(NodeError):
    """The body of a request does not come, or comes too slowly."""

    reason = "timeout"


_STATUS_OF: Final[Mapping[type[NodeError], int]] = {
    BrokenMessageError: 400,
    NotFoundError: 404,
    NotAcceptableError: 406,
    SlowBodyError: 408,
    UnsupportedContentError: 415,
    NotHeldError: 404,
    NoSuchFrameError: 404,
    NoPictureError: 406,
    WrongQueryError: 400,
    NoPlaceError: 503,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What answers requests: settings, and the spool."""

    settings: DicomwebSettings
    receive: ReceiveSettings
    spool: Spool
    shelf: Shelf

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route(f"{ROOT}/studies", self._store, methods=["POST"]),
                Route(f"{ROOT}/studies/{{study}}", self._store, methods=["POST"]),
                *reading_routes(ROOT, self.shelf, self._reader),
            ],
            middleware=[
                Middleware(
                    CORSMiddleware,
                    allow_origins=list(self.settings.origins),
                    allow_methods=["GET", "POST"],
                    allow_headers=["Authorization", "Accept", "Content-Type"],
                )
            ]
            if self.settings.origins
            else [],
            exception_handlers={
                NodeError: _refused,
                ClientDisconnect: _gone,
                SQLAlchemyError: _ledger_down,
            },
        )

    def _reader(self, request: Request) -> str:
        """Return the name of a client that may read."""
        return self._admitted(request, "read").name

    async def _store(self, request: Request) -> Response:
        client = self._admitted(request, "store")
        _require_json(request)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedContentError("send the body without Content-Encoding")
        study = request.path_params.get("study")
        if study is not None:
            require_uid(study)
        stored = Stored()
        async with aclosing(request.stream()) as stream:
            body = _Body(stream, self.receive)
            work = _Storing(self, client, _address(request), study, stored)
            kind = request.headers.get("content-type", "")
            try:
                await anyio.to_thread.run_sync(work.run, kind, body)
            except NodeError as error:
                if not stored.count:
                    raise
                _log_refusal(error, request, client)
                # What is safe is answered for, though the message is broken: it is not sent again.
                return _answer(stored, status=_status_of(error))
        return _answer(stored, status=stored.status)

    def _admitted(self, request: Request, to: Literal["store", "read"]) -> DicomwebClientSettings:
        if not is_own_name(request.headers.get("host", ""), self.settings.host_names):
            raise NotAdmittedError("the node is called by none of its names", status=403)
        return admitted(
            self.settings,
            to=to,
            address=_address(request),
            authorization=request.headers.get("authorization", ""),
            certificate=getattr(request.state, CERTIFICATE, None) or {},
        )


@dataclass(frozen=True, slots=True)
class _Storing:
    """One request to store, in a thread of its own."""

    service: Service
    client: DicomwebClientSettings
    address: str
    study: str | None
    stored: Stored

    def run(self, content_type: str, body: "_Body") -> None:
        receive = self.service.receive
        with file_intake(
            receive,
            self.service.spool,
            origin=self.address,
            calling_ae_title=self.client.ae_title,
            address=self.address,
        ) as intake:
            store(
                body_parts(content_type, body.read, longest_bytes=receive.maximum_object_bytes),
                intake,
                self.stored,
                study_instance_uid=self.study,
                maximum_objects=self.service.settings.maximum_objects,
                about={"address": self.address, "calling_ae_title": self.client.ae_title},
            )


class _Body:
    """The body of a request, read by a thread while the event loop receives it."""

    def __init__(self, stream: AsyncIterator[bytes], settings: ReceiveSettings) -> None:
        self._stream = stream
        self._settings = settings
        self._unseen = 0
        self._slow_since = anyio.current_time()

    def read(self) -> bytes:
        """Return what comes next; nothing at the end.

        Raises
        ------
        SlowBodyError
        """
        return anyio.from_thread.run(self._next)

    async def _next(self) -> bytes:
        settings = self._settings
        try:
            with anyio.fail_after(settings.pdu_timeout_seconds):
                async for chunk in self._stream:
                    if chunk:
                        break
                else:
                    return b""
        except TimeoutError:
            raise SlowBodyError("nothing came within receive.pdu_timeout_seconds") from None
        self._unseen += len(chunk)
        now = anyio.current_time()
        if self._unseen >= _PIECE_BYTES:
            self._unseen, self._slow_since = 0, now
        elif now - self._slow_since > settings.progress_timeout_seconds:
            raise SlowBodyError("too little came within receive.progress_timeout_seconds")
        return chunk


def _answer(stored: Stored, *, status: int) -> Response:
    return JSONResponse(stored.document(), status_code=status, media_type=_DICOM_JSON)


def _require_json(request: Request) -> None:
    wanted = request.headers.get("accept", "*/*")
    kinds = {one.partition(";")[0].strip().lower() for one in wanted.split(",")}
    if not kinds & _JSON_TYPES:
        raise NotAcceptableError(f"answers are {_DICOM_JSON}")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, NodeError)
    _log_refusal(error, request, None)
    headers = {"Connection": "close"}  # the rest of the body is not read
    status = _status_of(error)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = "2"
    return JSONResponse({"error": str(error)}, status_code=status, headers=headers)


async def _ledger_down(request: Request, error: Exception) -> Response:
    log.error("ledger_down", reason=type(error).__name__, address=_address(request))
    return JSONResponse({"error": "the ledger does not answer"}, status_code=503)


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


def _log_refusal(error: NodeError, request: Request, client: DicomwebClientSettings | None) -> None:
    about: dict[str, Any] = {} if client is None else {"calling_ae_title": client.ae_title}
    log.warning(
        "request_refused",
        reason=error.reason,
        detail=str(error),
        status=str(_status_of(error)),
        address=_address(request),
        **about,
    )


def _status_of(error: NodeError) -> int:
    if isinstance(error, NotAdmittedError):
        return error.status
    return _STATUS_OF.get(type(error), 500)
