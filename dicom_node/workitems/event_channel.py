"""Events of a worklist over a WebSocket (RAD-86, RAD-87; PS3.18 11.10 and 8.10).

An event is a hint and nothing more: those that were missed while the channel was closed never come
again, so the worklist is searched whenever it has been opened, and by the clock besides.
"""

import base64
import json
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit

import structlog
from websockets.sync.client import connect

from dicom_node.errors import DeliveryError
from dicom_node.fetch.found_objects import dataset_in, is_uid, text_in
from dicom_node.settings.settings import Settings
from dicom_node.tls import client_context
from dicom_node.workitems.judging import own_codes, subscription_filters
from dicom_node.workitems.ups_server import UpsServer

log = structlog.get_logger("dicom_node.workitems")

CANCEL_REQUESTED: Final = "2"
"""Event Type ID of a request to cancel (PS3.4 CC.2.4)."""

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.5
_LONGEST_BYTES: Final = 1_000_000


class EventChannel:
    """A thread that holds the channel open, and opens it again whenever it ends.

    Parameters
    ----------
    on_news : called when there may be something new on the worklist; must not block
    on_cancel : called with the UID of a workitem that somebody asks to cancel
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_news: Callable[[], None],
        on_cancel: Callable[[str], None],
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._server = UpsServer(settings.ups, tls=settings.tls)
        self._title = settings.ups.ae_title or settings.receive.ae_title
        self._on_news = on_news
        self._on_cancel = on_cancel
        self._stopping = stopping
        self._failures = 0

    def start(self) -> None:
        """Begin to hold the channel open, until the node stops."""
        threading.Thread(target=self._run, name="worklist events", daemon=True).start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001  the outermost loop of this thread
                self._note(error)
            pause = _FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10)
            self._stopping.wait(min(pause, _LONGEST_PAUSE_SECONDS))

    def _note(self, error: Exception) -> None:
        if not self._failures:
            reason = str(error) if isinstance(error, DeliveryError) else type(error).__name__
            log.warning("worklist_channel_closed", reason=reason)
        self._failures += 1

    def _listen(self) -> None:
        ups, said = self._settings.ups, ""
        for code in own_codes(ups):
            said = self._server.subscribe(self._title, subscription_filters(ups, code)) or said
        url = self._place(said)
        with connect(
            url,
            ssl=self._context(url),
            additional_headers=self._credentials(),
            open_timeout=ups.timeout_seconds,
            close_timeout=1,
            max_size=_LONGEST_BYTES,
            proxy=None,
        ) as channel:
            if self._failures:
                log.info("worklist_channel_open_again")
            self._failures = 0
            self._on_news()
            while not self._stopping.is_set():
                try:
                    self._hear(channel.recv(timeout=_LOOK_SECONDS))
                except TimeoutError:
                    continue

    def _hear(self, message: str | bytes) -> None:
        try:
            content: Any = json.loads(message)
            event = dataset_in(content[0] if isinstance(content, list) else content)
        except (ValueError, TypeError, AttributeError, IndexError, RecursionError):
            return  # no event; what there is to know the next search finds
        self._on_news()
        uid = text_in(event, "AffectedSOPInstanceUID")
        if text_in(event, "EventTypeID") == CANCEL_REQUESTED and is_uid(uid):
            self._on_cancel(uid)

    def _place(self, said: str) -> str:
        """Return where the channel is: as the settings say, or the server about itself."""
        ups = self._settings.ups
        if ups.events_url is not None:
            return ups.events_url
        root = ups.url or ""
        # Credentials go there: to no other host, and not in the clear where they were secured.
        schemes = ("wss://",) if root.startswith("https:") else ("ws://", "wss://")
        if said.startswith(schemes) and _host(said) == _host(root):
            return said
        return (
            f"ws{root.removeprefix('http').rstrip('/')}/subscribers/{quote(self._title, safe='')}"
        )

    def _context(self, url: str) -> ssl.SSLContext | None:
        if not url.startswith("wss:"):
            return None
        return client_context(self._settings.tls.for_peer(self._settings.ups))

    def _credentials(self) -> dict[str, str]:
        ups = self._settings.ups
        if ups.username is None or ups.password is None:
            return {}
        plain = f"{ups.username}:{ups.password.get_secret_value()}"
        return {"Authorization": f"Basic {base64.b64encode(plain.encode()).decode()}"}


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
