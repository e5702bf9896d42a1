"""An archive that answers C-FIND as a test wants it to, and may keep nothing of what it accepts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ports import free_port
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STORED_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.5.1.4.1.1.88.34",
)

Find = Callable[["ProvingArchive", Dataset], Iterator[tuple[int, Dataset | None]]]


@dataclass
class ProvingArchive:
    """A storage and query SCP.

    Attributes
    ----------
    keeps : whether it keeps what it answers with 0x0000
    find : answers a question; by default with the instances of its series that it holds
    """

    keeps: bool = True
    finds: bool = True
    find: Find = lambda archive, asked: archive.matching(asked)
    port: int = field(default_factory=free_port)
    held: dict[str, str] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    associations: int = 0

    def start(self) -> "ProvingArchive":
        entity = AE(ae_title="ARCHIVE")
        for sop_class in STORED_CLASSES:
            entity.add_supported_context(sop_class)
        if self.finds:
            entity.add_supported_context(STUDY_ROOT_FIND)
        self.offer(entity)
        self._server: Any = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=self.handlers()
        )
        return self

    def offer(self, entity: AE) -> None:
        """Offer more than storage and query."""

    def handlers(self) -> list[Any]:
        return [
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
        ]

    def stop(self) -> None:
        self._server.shutdown()

    def matching(self, asked: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        uid = str(asked.SOPInstanceUID)
        if uid in self.held:
            yield 0xFF00, answer(uid)

    def _on_accepted(self, _event: evt.Event) -> None:
        self.associations += 1

    def _on_store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.stored.append(uid)
        if self.keeps:
            self.held[uid] = str(event.request.AffectedSOPClassUID)
        return 0x0000

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(asked)
        yield from self.find(self, asked)


def answer(uid: str) -> Dataset:
    """Return an answer about one instance."""
    found = Dataset()
    found.QueryRetrieveLevel = "IMAGE"
    found.SOPInstanceUID = uid
    return found
