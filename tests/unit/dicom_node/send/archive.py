"""A storage SCP that answers as a test wants it to, and sending to it."""

from dataclasses import dataclass, field
from typing import Any

from pydicom import Dataset
from pynetdicom import evt

from dicom_node.send.c_store import CStoreSender
from dicom_node.send.outcome import Answer, ObjectToSend
from dicom_node.settings.ways_out.destinations import DicomDestination


@dataclass
class Archive:
    """A storage SCP that answers as a test wants it to."""

    port: int
    statuses: list[int] = field(default_factory=list)
    abort_at: int | None = None
    received: list[Any] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    released: int = 0

    def on_store(self, event: evt.Event) -> int:
        if self.abort_at == len(self.received):
            event.assoc.abort()
            return 0xC000
        self.received.append(
            (
                str(event.request.AffectedSOPInstanceUID),
                event.request.DataSet.getvalue(),
                event.assoc.requestor.ae_title,
            )
        )
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        self.datasets.append(dataset)
        return self.statuses.pop(0) if self.statuses else 0x0000

    def on_release(self, _event: evt.Event) -> None:
        self.released += 1


def destination(port: int, **changes: Any) -> DicomDestination:
    values = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port}
    return DicomDestination(**{**values, "timeout_seconds": 5, **changes})


def sent(archive: Archive, *objects: ObjectToSend, **changes: Any) -> list[Answer]:
    sender = CStoreSender(destination(archive.port, **changes), calling_ae_title="MAMMOCLIP")
    return list(sender.send(objects))
