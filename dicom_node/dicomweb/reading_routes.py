"""The addresses under which objects are searched for and retrieved (PS3.18 10.4, 10.6)."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dicom_node.dicomweb.frames import OCTETS
from dicom_node.dicomweb.reading import Parts, Shelf, files_of
from dicom_node.dicomweb.searching import LOOKED_AT, WrongQueryError, query_of
from dicom_node.errors import NodeError

log = structlog.get_logger("dicom_node.dicomweb")

_DICOM_JSON: Final = "application/dicom+json"
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
_FRAMES: Final = re.compile(r"[0-9]{1,9}(,[0-9]{1,9}){0,999}")
_FRAME: Final = re.compile(r"[1-9][0-9]{0,8}")
_VIEWPORT: Final = re.compile(r"([1-9][0-9]{0,4}),([1-9][0-9]{0,4})")
_JPEG: Final = "image/jpeg"
_LARGEST_SIDE: Final = 2048
"""Pixels of a picture: it is there to be recognised, and the objects are there to be read."""

_MEDIA_TYPE: Final = re.compile(r"[a-z*]+/[a-z0-9.*+-]+")
_MULTIPART: Final = "multipart/related"
_NO_STORE: Final = {"Cache-Control": "no-store"}

Endpoint = Callable[[Request], Awaitable[Response]]


class NotFoundError(NodeError):
    """The address names nothing."""

    reason = "not-found"


class NotAcceptableError(NodeError):
    """The client accepts no form in which the answer can be given."""

    reason = "not-acceptable"


def require_uid(value: str) -> None:
    """Raise NotFoundError unless a part of an address is a UID."""
    if len(value) > 64 or not _UID.fullmatch(value):
        raise NotFoundError("the address holds what is no UID")


def reading_routes(root: str, shelf: Shelf, reader: Callable[[Request], str]) -> list[Route]:
    """Return the routes of QIDO-RS and WADO-RS.

    Parameters
    ----------
    root : path of the service
    reader : returns the name of the client that calls, or refuses it
    """
    asked = _Asked(root, shelf, reader)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = f"{series}/instances/{{instance}}"
    routes: dict[str, Endpoint] = {
        "/studies": asked.studies,
        f"{study}/series": asked.series,
        f"{study}/instances": asked.instances,
        f"{series}/instances": asked.instances,
        **{f"{path}/metadata": asked.metadata for path in (study, series, instance)},
        **dict.fromkeys((study, series, instance), asked.objects),
        f"{instance}/frames": asked.frames,
        f"{instance}/frames/{{frames}}": asked.frames,
        f"{instance}/rendered": asked.rendered,
        f"{instance}/frames/{{frames}}/rendered": asked.rendered,
    }
    return [Route(root + path, endpoint, methods=["GET"]) for path, endpoint in routes.items()]


class _Asked:
    """Answers questions about what the node holds, each in a thread of its own."""

    def __init__(self, root: str, shelf: Shelf, reader: Callable[[Request], str]) -> None:
        self._root = root
        self._shelf = shelf
        self._reader = reader

    async def studies(self, request: Request) -> Response:
        self._begin(request)
        query = query_of(request.query_params.multi_items())
        ask = partial(self._shelf.studies, query, self._url(request))
        answers, is_cut = await anyio.to_thread.run_sync(ask)
        warning = f'299 mammoclip-node "only the {LOOKED_AT} newest studies were looked at"'
        return _listed(answers, {"Warning": warning} if is_cut else {})

    async def series(self, request: Request) -> Response:
        study, _, _ = self._begin(request)
        query = query_of(request.query_params.multi_items())
        ask = partial(self._shelf.series, study, query, self._url(request))
        return _listed(await anyio.to_thread.run_sync(ask))

    async def instances(self, request: Request) -> Response:
        study, series, _ = self._begin(request)
        query = query_of(request.query_params.multi_items())
        ask = partial(self._shelf.instances, study, series, query, self._url(request))
        return _listed(await anyio.to_thread.run_sync(ask))

    async def metadata(self, request: Request) -> Response:
        ask = partial(self._shelf.metadata, *self._begin(request), self._url(request))
        return _listed(await anyio.to_thread.run_sync(ask))

    async def objects(self, request: Request) -> Response:
        place = self._begin(request)
        _require(request, "application/dicom")
        held = await anyio.to_thread.run_sync(partial(self._shelf.held, *place))
        return _multipart(files_of(held), "application/dicom")

    async def frames(self, request: Request) -> Response:
        study, series, instance = self._begin(request)
        assert series is not None
        assert instance is not None
        _require(request, OCTETS, "image/")
        wanted = request.path_params.get("frames", "1")
        if not _FRAMES.fullmatch(wanted):
            raise NotFoundError("frames are numbers with commas between them")
        numbers = [int(one) for one in wanted.split(",")]
        ask = partial(self._shelf.frames, study, series, instance, numbers)
        parts = await anyio.to_thread.run_sync(ask)
        return _multipart(parts, OCTETS)

    async def rendered(self, request: Request) -> Response:
        study, series, instance = self._begin(request)
        _require(request, _JPEG, "image/jpg")
        frame = request.path_params.get("frames", "1")
        if not _FRAME.fullmatch(frame):
            raise NotFoundError("a picture is of one frame, numbered from 1")
        ask = partial(
            self._shelf.rendered,
            study,
            series or "",
            instance or "",
            frame=int(frame),
            long_side=_long_side(request),
        )
        return Response(await anyio.to_thread.run_sync(ask), media_type=_JPEG, headers=_NO_STORE)

    def _begin(self, request: Request) -> tuple[str, str | None, str | None]:
        """Let a client in, and return the UIDs of the address."""
        name = self._reader(request)
        found = request.path_params
        uids = [found.get(key) for key in ("study", "series", "instance")]
        for uid in uids:
            if uid is not None:
                require_uid(uid)
        # Never the query: its values may be about a patient.
        address = request.client.host if request.client else ""
        log.info("objects_asked_for", kind=name, address=address, study=uids[0] or "")
        return uids[0] or "", uids[1], uids[2]

    def _url(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{self._root}"


def _long_side(request: Request) -> int:
    """Return how large a picture is to be, as its viewport says (PS3.18 8.3.5.1.3)."""
    viewport = request.query_params.get("viewport", "")
    if not viewport:
        return _LARGEST_SIDE
    found = _VIEWPORT.fullmatch(viewport)
    if found is None:
        raise WrongQueryError("viewport is width,height in pixels, for the whole picture")
    return max(1, min(_LARGEST_SIDE, *map(int, found.groups())))


def _listed(answers: list[dict[str, Any]], headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(answers, media_type=_DICOM_JSON, headers={**_NO_STORE, **(headers or {})})


def _multipart(parts: Parts, kind: str) -> Response:
    media = f'multipart/related; type="{kind}"; boundary={parts.boundary}'
    return StreamingResponse(iter(parts), headers={**_NO_STORE, "Content-Type": media})


def _require(request: Request, *kinds: str) -> None:
    """Refuse a client that wants another form; the stored transfer syntax is what it gets."""
    wanted = set(_MEDIA_TYPE.findall(request.headers.get("accept", "*/*").lower()))
    named = wanted - {_MULTIPART}
    if named and "*/*" not in named and not any(_is_one_of(one, kinds) for one in named):
        raise NotAcceptableError("objects and frames are given as they are stored")


def _is_one_of(media_type: str, kinds: Sequence[str]) -> bool:
    return any(
        media_type.startswith(kind) if kind.endswith("/") else media_type == kind for kind in kinds
    )
