"""The worklist server: its transactions as a performer uses them (PS3.18 11; RAD-81 to RAD-88)."""

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import quote, urlencode

from pydicom.dataset import Dataset

from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.fetch.found_objects import dataset_in, text_in
from dicom_node.send.dicomweb_exchange import Reply, exchange_with
from dicom_node.send.http_outcome import CREDENTIALS
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_in.ups import UpsSettings
from dicom_node.workitems.messages import state_change

GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
FILTERED: Final = "1.2.840.10008.5.1.4.34.5.1"
"""Well-known UIDs of subscriptions to all workitems (PS3.4 CC.2.3)."""

_NO_CONTENT: Final = 204
_GONE: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({400, 409})
_PAGE: Final = 100
_MOST_FOUND: Final = 2000


class Answer(StrEnum):
    """What a server makes of a request about one workitem."""

    DONE = "done"
    REFUSED = "refused"
    """By its state, or because of the Transaction UID."""
    GONE = "gone"


class UpsServer:
    """One worklist server; every request is over a connection of its own, with an end.

    Every method raises DestinationDownError or NotOfferedError if the server does not answer, or
    answers as none that is well does.

    Parameters
    ----------
    tls : certificates of [tls]
    """

    def __init__(self, settings: UpsSettings, *, tls: TlsSettings = NO_CERTIFICATES) -> None:
        self._destination = settings.as_destination()
        self._tls = tls

    def search(self, filters: Mapping[str, str]) -> Iterator[Dataset]:
        """Yield the workitems that match, page by page.

        A server that knows no pages answers again with the same, which ends it.
        """
        seen: set[str] = set()
        while len(seen) < _MOST_FOUND:
            before = len(seen)
            page = {"limit": str(_PAGE), "offset": str(before)}
            reply = self._send("GET", f"workitems?{urlencode({**filters, **page})}")
            if not reply.is_success:
                raise self._unwell(reply)
            for answer in self._datasets(reply):
                uid = text_in(answer, "SOPInstanceUID")
                if uid not in seen:
                    seen.add(uid)
                    yield answer
            if len(seen) == before:
                return

    def workitem(self, uid: str) -> Dataset | None:
        """Return a workitem; None if the server knows it no more."""
        reply = self._send("GET", f"workitems/{quote(uid)}")
        if reply.status in _GONE:
            return None
        if not reply.is_success:
            raise self._unwell(reply)
        answers = self._datasets(reply)
        return answers[0] if answers else None

    def change_state(self, uid: str, state: str, transaction_uid: str) -> Answer:
        """Claim, complete or cancel a workitem.

        That it is in a final state already is said by a header Warning, which is no error.
        """
        path = f"workitems/{quote(uid)}/state"
        return self._answer(self._send("PUT", path, state_change(state, transaction_uid)))

    def update(self, uid: str, document: bytes) -> Answer:
        """Update a workitem that the node holds."""
        return self._answer(self._send("POST", f"workitems/{quote(uid)}", document))

    def subscribe(self, ae_title: str, filters: Mapping[str, str]) -> str:
        """Subscribe to events of all workitems, or of those that match; return where they come.

        The deletion lock is not set: the server need not keep what is final for this node.
        """
        query = {"deletionlock": "false"}
        uid = GLOBAL
        if filters:
            uid = FILTERED
            query["filter"] = ",".join(f"{name}={value}" for name, value in filters.items())
        path = f"workitems/{uid}/subscribers/{quote(ae_title, safe='')}?{urlencode(query)}"
        reply = self._send("POST", path)
        if not reply.is_success:
            raise NotOfferedError(
                f"the worklist server takes no subscription: HTTP {reply.status} {reply.warning}"
            )
        return reply.content_location

    def _answer(self, reply: Reply) -> Answer:
        if reply.is_success:
            return Answer.DONE
        if reply.status in _REFUSED:
            return Answer.REFUSED
        if reply.status in _GONE:
            return Answer.GONE
        raise self._unwell(reply)

    def _datasets(self, reply: Reply) -> list[Dataset]:
        if reply.status == _NO_CONTENT or not reply.content:
            return []
        try:
            content = json.loads(reply.content)
            answers = [content] if isinstance(content, dict) else content
            return [dataset_in(one) for one in answers]
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DestinationDownError(
                "the worklist server answers with what are no workitems"
            ) from error

    def _send(self, method: str, path: str, document: bytes | None = None) -> Reply:
        try:
            with exchange_with(self._destination, self._tls) as exchange:
                reply = exchange.request(method, path, document=document)
        except DestinationDownError as error:
            raise DestinationDownError(str(error).replace("[[destinations]]", "[ups]")) from error
        if reply.status in CREDENTIALS:
            raise self._unwell(reply)
        return reply

    def _unwell(self, reply: Reply) -> NotOfferedError:
        hint = " (check username and password under [ups])" * (reply.status in CREDENTIALS)
        return NotOfferedError(
            f"the worklist server answers with HTTP {reply.status}{hint} {reply.warning}".rstrip()
        )
