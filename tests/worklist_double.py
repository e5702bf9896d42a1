"""A worklist server (UPS-RS) on a real socket: atomic, or as some servers are, of two minds.

There is no such server to be had in a package. This one keeps the rules of PS3.4 table CC.1.1-2,
and what raccoon-dicom checks of a final state; its faults are switched on one by one.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import uvicorn
from ports import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

Json = dict[str, Any]

FINAL_STATE = ("00404050", "00404051", "00404028", "00404019")
"""Start, end, station name and workitem code of what was performed."""

OUTPUTS = "00404033"


def value(document: Json, tag: str) -> Any:
    """Return the first value of an element; for sequences by a path with points."""
    first, _, rest = tag.partition(".")
    found = (document.get(first) or {}).get("Value") or [None]
    return value(found[0] or {}, rest) if rest else found[0]


def element(vr: str, *values: Any) -> Json:
    return {"vr": vr, "Value": [*values]}


def coded(code: str, scheme: str = "99TEST") -> Json:
    return element(
        "SQ",
        {
            "00080100": element("SH", code),
            "00080102": element("SH", scheme),
            "00080104": element("LO", f"meaning of {code}"),
        },
    )


def workitem(
    uid: str,
    study: str,
    images: list[tuple[str, str]],
    *,
    code: str = "MAMMO-AI",
    patient_id: str = "",
    priority: str = "MEDIUM",
    readiness: str = "READY",
    start: str = "20200101000000+0000",
    **further: Any,
) -> Json:
    """Return a scheduled workitem.

    Parameters
    ----------
    images : SOP Class UID and SOP Instance UID of each input
    further : elements by tag, each with a letter before it
    """
    references = [
        {"00081150": element("UI", kind), "00081155": element("UI", instance)}
        for kind, instance in images
    ]
    inputs = {
        "0040E020": element("CS", "DICOM"),
        "0020000D": element("UI", study),
        "0020000E": element("UI", f"{study}.1"),
        "00081199": element("SQ", *references),
    }
    document = {
        "00080016": element("UI", "1.2.840.10008.5.1.4.34.6.1"),
        "00080018": element("UI", uid),
        "00741000": element("CS", "SCHEDULED"),
        "00404041": element("CS", readiness),
        "00741200": element("CS", priority),
        "00404005": element("DT", start),
        "00404018": coded(code),
        "00404021": element("SQ", inputs),
        "00100020": element("LO", *[patient_id] * bool(patient_id)),
    }
    return document | {tag.lstrip("t"): one for tag, one in further.items()}


@dataclass
class Worklist:
    """Workitems, what was asked of them, and the faults of the server.

    Attributes
    ----------
    lets_both_win : a claim of what was claimed a moment ago is taken too, once for each workitem
    ignores_filters : searches find every workitem
    lost_answers : numbers of requests (from 1) that are followed and answered by nothing
    refuses_without : tag without which nothing is completed
    """

    items: dict[str, Json] = field(default_factory=dict)
    lets_both_win: bool = False
    ignores_filters: bool = False
    is_down: bool = False
    shows_transactions: bool = False
    lost_answers: set[int] = field(default_factory=set)
    required: tuple[str, ...] = FINAL_STATE
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    searches: list[dict[str, str]] = field(default_factory=list)
    claims: Counter[str] = field(default_factory=Counter)
    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    progress: list[tuple[str, str, str]] = field(default_factory=list)
    subscriptions: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    warnings: int = 0
    channels: set[WebSocket] = field(default_factory=set)
    opened: int = 0
    locates_channel: bool = False
    page: int = 100
    port: int = field(default_factory=free_port)
    scheme: str = "http"
    transactions: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    loop: asyncio.AbstractEventLoop | None = None

    def reset(self) -> None:
        """Forget everything, for the next test before the same socket."""
        new = Worklist(port=self.port)
        for one in fields(self):
            if one.name not in {"port", "scheme", "loop", "lock"}:
                setattr(self, one.name, getattr(new, one.name))

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/ups"

    def add(self, *items: Json) -> None:
        with self.lock:
            for one in items:
                self.items[value(one, "00080018")] = one

    def state(self, uid: str) -> str:
        return str(value(self.items[uid], "00741000"))

    def asked(self, method: str, ending: str = "") -> int:
        return sum(one == method and path.endswith(ending) for one, path, _ in self.requests)

    def ask_to_cancel(self, uid: str, why: str, *, shown: bool = False) -> None:
        """Pass a request to cancel on, by an event and, as some do, in the workitem."""
        if shown:
            item = {"00741238": element("LT", why)}
            with self.lock:
                self.items[uid]["00741002"] = element("SQ", item)
        self.tell(uid, 2, {"00741238": element("LT", why)})

    def tell(self, uid: str, event_type: int, further: Json | None = None) -> None:
        """Send an event to every open channel."""
        event = {"00001000": element("UI", uid), "00001002": element("US", event_type)}
        text = json.dumps(event | (further or {}))

        async def send() -> None:
            for one in list(self.channels):
                await one.send_text(text)

        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(send(), self.loop).result(5)

    def drop_channels(self) -> None:
        """End every channel, as a server that restarts does."""

        async def close() -> None:
            for one in list(self.channels):
                self.channels.discard(one)
                await one.close()

        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(close(), self.loop).result(5)

    @contextmanager
    def running(self, certificate: tuple[Path, Path] | None = None) -> Iterator["Worklist"]:
        """Serve until the block ends.

        Parameters
        ----------
        certificate : files of certificate and key: HTTPS
        """
        options: dict[str, Any] = {}
        if certificate is not None:
            self.scheme = "https"
            options = {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}
        config = uvicorn.Config(
            _application(self), host="127.0.0.1", port=self.port, log_level="critical",
            lifespan="off", timeout_graceful_shutdown=1, **options,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(server)), daemon=True)
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(10)

    async def _serve(self, server: uvicorn.Server) -> None:
        self.loop = asyncio.get_running_loop()
        await server.serve()


def _application(worklist: Worklist) -> Starlette:
    def counted(act: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            document = json.loads(body)[0] if body else {}
            with worklist.lock:
                response: Response = (
                    Response(status_code=503)
                    if worklist.is_down
                    else act(worklist, request, document)
                )
                path = request.url.path
                worklist.requests.append((request.method, path, response.status_code))
                is_lost = len(worklist.requests) in worklist.lost_answers
            if is_lost:  # cut off in its middle: the library closes the connection
                return Response(b"{", headers={"Content-Length": "1000"})
            return response

        return endpoint

    async def channel(socket: WebSocket) -> None:
        await socket.accept()
        worklist.channels.add(socket)
        worklist.opened += 1
        try:
            while True:
                await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError):
            worklist.channels.discard(socket)

    return Starlette(
        routes=[
            Route("/ups/workitems", counted(_search), methods=["GET"]),
            Route("/ups/workitems/{uid}", counted(_show), methods=["GET"]),
            Route("/ups/workitems/{uid}", counted(_update), methods=["POST"]),
            Route("/ups/workitems/{uid}/state", counted(_change_state), methods=["PUT"]),
            Route(
                "/ups/workitems/{uid}/subscribers/{title}", counted(_subscribe), methods=["POST"]
            ),
            WebSocketRoute("/ups/subscribers/{title}", channel),
            WebSocketRoute("/elsewhere/{title}", channel),
        ]
    )


def _shown(worklist: Worklist, item: Json) -> Json:
    uid = value(item, "00080018")
    if worklist.shows_transactions and uid in worklist.transactions:
        return item | {"00081195": element("UI", worklist.transactions[uid])}
    return item


def _search(worklist: Worklist, request: Request, _: Json) -> Response:
    query = dict(request.query_params)
    worklist.searches.append(query)
    limit, offset = int(query.pop("limit", 1000)), int(query.pop("offset", 0))
    found = [
        item
        for item in worklist.items.values()
        if worklist.ignores_filters or all(_matches(item, *one) for one in query.items())
    ]
    page = found[offset : offset + min(limit, worklist.page)]
    if not page:
        return Response(status_code=204)
    return JSONResponse([_shown(worklist, one) for one in page])


def _matches(item: Json, tag: str, wanted: str) -> bool:
    held = str(value(item, tag) or "")
    if wanted.startswith("-"):
        return held <= wanted[1:]
    return held == wanted


def _show(worklist: Worklist, request: Request, _: Json) -> Response:
    item = worklist.items.get(request.path_params["uid"])
    if item is None:
        return Response(status_code=404)
    return JSONResponse([_shown(worklist, item)])


def _update(worklist: Worklist, request: Request, document: Json) -> Response:
    uid = request.path_params["uid"]
    item = worklist.items.get(uid)
    if item is None:
        return Response(status_code=404)
    if worklist.state(uid) in {"COMPLETED", "CANCELED"}:
        return Response(status_code=409)
    if value(document, "00081195") != worklist.transactions.get(uid):
        return Response(status_code=400, headers={"Warning": "299 test: wrong Transaction UID"})
    item.update({tag: one for tag, one in document.items() if tag != "00081195"})
    if told := value(document, "00741002"):
        worklist.progress.append((uid, str(value(told, "00741004")), str(value(told, "00741006"))))
    return Response(status_code=200)


def _change_state(  # noqa: PLR0911  one for each row of the table
    worklist: Worklist, request: Request, document: Json
) -> Response:
    uid = request.path_params["uid"]
    item = worklist.items.get(uid)
    if item is None:
        return Response(status_code=404)
    wanted, transaction = value(document, "00741000"), value(document, "00081195")
    if not transaction:
        return Response(status_code=400)
    now = worklist.state(uid)
    is_performer = worklist.transactions.get(uid) == transaction
    if wanted == "IN PROGRESS":
        is_second = worklist.lets_both_win and now == "IN PROGRESS" and worklist.claims[uid] == 1
        if now != "SCHEDULED" and not (is_second and not is_performer):
            return Response(status_code=409)
        worklist.claims[uid] += 1
        worklist.transactions[uid] = transaction
    else:
        if now == wanted and is_performer:
            worklist.warnings += 1
            return Response(status_code=200, headers={"Warning": f"299 test: already {wanted}"})
        if not is_performer:
            return Response(status_code=400)
        if now != "IN PROGRESS":
            return Response(status_code=409)
        if wanted == "COMPLETED" and not _may_be_completed(worklist, item):
            return Response(status_code=409, headers={"Warning": "299 test: not a final state"})
        worklist.endings[uid, wanted] += 1
    item["00741000"] = element("CS", wanted)
    return Response(status_code=200)


def _may_be_completed(worklist: Worklist, item: Json) -> bool:
    done = value(item, "00741216") or {}
    return all(value(done, tag) for tag in worklist.required)


def _subscribe(worklist: Worklist, request: Request, _: Json) -> Response:
    title = request.path_params["title"]
    worklist.subscriptions.append((request.path_params["uid"], title, dict(request.query_params)))
    headers = {}
    if worklist.locates_channel:
        headers["Content-Location"] = f"ws://127.0.0.1:{worklist.port}/elsewhere/{title}"
    return Response(status_code=201, headers=headers)
