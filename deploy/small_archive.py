"""A small archive on loopback where Orthanc is not installed: C-STORE, C-GET and C-ECHO.

It keeps objects as the node does: in a spool, under names of its own, answered only when safe on
disk. A UID comes from the network and never becomes a path, unlike in pynetdicom's ``qrscp``
(CVE-2026-56445).
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import pydicom
import typer
from pydicom.dataset import Dataset
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # entered in the module at import
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from dicom_node.errors import OutOfResourcesError
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.network import application_entity
from dicom_node.receive.registration.header_process import HeaderReader
from dicom_node.spool.files.disk_trouble import disk_trouble
from dicom_node.spool.files.private_files import keep_new_files_private
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt, new_association_token

HOST: Final = "127.0.0.1"

_SUCCESS: Final = 0x0000
_PENDING: Final = 0xFF00
_OUT_OF_RESOURCES: Final = 0xA700
_OTHER_INSTANCE: Final = 0xA900
_CANNOT_UNDERSTAND: Final = 0xC000
_UID_PROBLEMS: Final = {
    "mismatched-uid": _OTHER_INSTANCE,
    "invalid-uid": _CANNOT_UNDERSTAND,
    "missing-uid": _CANNOT_UNDERSTAND,
}
_PREAMBLE: Final = b"\x00" * 128 + b"DICM"
_LARGEST_BYTES: Final = 2_000_000_000
_LEVELS: Final = {
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
}


class SmallArchive:
    """Objects in a spool, found by their UIDs; the last one stored under a UID counts.

    Parameters
    ----------
    spool : Spool
        Its ``incoming`` folder is the archive.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._headers = HeaderReader()
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Receipt, InstanceFacts]] = {}
        for receipt in spool.incoming():
            facts, status = self._facts_of(receipt)
            if facts is not None and status == _SUCCESS:
                self._enter(receipt, facts)

    def close(self) -> None:
        """End the process that reads headers."""
        self._headers.close()

    def store(self, event: evt.Event) -> int:
        """Answer a C-STORE request."""
        request: Any = event.request
        content = [_PREAMBLE, encode_file_meta(event.file_meta), request.DataSet.getbuffer()]
        try:
            with disk_trouble():
                receipt = self._spool.receipts.new(new_association_token())
            self._spool.keep(content, receipt)
        except OutOfResourcesError:
            return _OUT_OF_RESOURCES
        with self._lock:
            facts, status = self._facts_of(receipt)
            if facts is None or status != _SUCCESS:
                self._spool.drop(receipt)
                return status
            self._enter(receipt, facts)
        return _SUCCESS

    def get(self, event: evt.Event) -> Iterator[int | tuple[int, Dataset | None]]:
        """Answer a C-GET request for studies, series or instances by their UIDs."""
        wanted = event.identifier
        found = [
            receipt
            for receipt, facts in list(self._held.values())
            if all(
                getattr(facts, name) in _values(wanted, keyword)
                for keyword, name in _LEVELS.items()
                if wanted.get(keyword)
            )
        ]
        yield len(found)
        for receipt in found:
            yield _PENDING, pydicom.dcmread(self._spool.incoming_file(receipt))

    def _enter(self, receipt: Receipt, facts: InstanceFacts) -> None:
        former = self._held.get(facts.sop_instance_uid)
        self._held[facts.sop_instance_uid] = (receipt, facts)
        if former is not None:
            self._spool.drop(former[0])

    def _facts_of(self, receipt: Receipt) -> tuple[InstanceFacts | None, int]:
        """Read the UIDs of an object, and the status if it has none."""
        reading = self._headers.read(
            self._spool.incoming_file(receipt),
            identity_key=b"",
            secondary_capture_senders=frozenset(),
            maximum_bytes=_LARGEST_BYTES,
        )
        if reading.facts is None:
            return None, _CANNOT_UNDERSTAND
        # Whatever else keeps a node from analysing the object does not concern an archive.
        word = "" if reading.problem is None else reading.problem.reason_word
        return reading.facts, _UID_PROBLEMS.get(word, _SUCCESS)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder for the archive's objects.")],
    port: Annotated[int, typer.Option(help="DICOM port.")],
    ae_title: Annotated[str, typer.Option(help="AE title of the archive.")] = "ARCHIVE",
) -> None:
    """Run the archive until SIGTERM or Ctrl-C.

    Example: python -m deploy.small_archive .up/archive/objects --port 14242
    """
    keep_new_files_private()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    spool = Spool(folder)
    with spool.owned(), closing(SmallArchive(spool)) as archive:
        entity = application_entity(ae_title)
        entity.add_supported_context(Verification)
        # The storage contexts in both roles: by C-GET the archive is the one that stores.
        for context in AllStoragePresentationContexts:
            syntaxes = ALL_TRANSFER_SYNTAXES
            entity.add_supported_context(
                str(context.abstract_syntax), syntaxes, scu_role=True, scp_role=True
            )
        entity.add_supported_context(PatientRootQueryRetrieveInformationModelGet)
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        handlers: list[Any] = [(evt.EVT_C_STORE, archive.store), (evt.EVT_C_GET, archive.get)]
        server: Any = entity.start_server((HOST, port), block=False, evt_handlers=handlers)
        stop.wait()
        server.shutdown()


def _values(wanted: Dataset, keyword: str) -> set[str]:
    """Return the UIDs of a query, which may be a list."""
    value = wanted[keyword].value
    return {str(one) for one in ([value] if isinstance(value, str) else value)}


if __name__ == "__main__":
    typer.run(main)
