"""Result objects on disk, and archives to send them to."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pytest
from archive import Archive
from node_factory import COMPREHENSIVE_SR, SECONDARY_CAPTURE, mammogram
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, DEFAULT_TRANSFER_SYNTAXES, evt

from dicom_node.send.outcome import ObjectToSend

MakeObject = Callable[..., ObjectToSend]


@pytest.fixture
def result_object(tmp_path: Path) -> MakeObject:
    """Write result objects as an analysis does, each with a key of its own."""
    keys = iter(range(1, 100))

    def make(sop_class_uid: str = COMPREHENSIVE_SR) -> ObjectToSend:
        key = next(keys)
        dataset = mammogram(SOPClassUID=sop_class_uid)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = tmp_path / f"result-{key}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        return ObjectToSend(
            key=key,
            file=file,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=str(dataset.SOPInstanceUID),
        )

    return make


@pytest.fixture
def large_object(result_object: MakeObject) -> MakeObject:
    """Write objects of which much is still to be sent when the lines are full."""

    def make() -> ObjectToSend:
        made = result_object()
        dataset = pydicom.dcmread(made.file)
        dataset.add_new(0x00091001, "OB", bytes(12_000_000))
        dataset.save_as(made.file)
        return made

    return make


@pytest.fixture(scope="module")
def stopping() -> Iterator[ThreadPoolExecutor]:
    """Stop archives beside the next test, because each takes half a second to look up."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


@pytest.fixture
def archive_with(stopping: ThreadPoolExecutor) -> Iterator[Callable[..., Archive]]:
    servers: list[Any] = []

    def start(
        *statuses: int,
        classes: tuple[str, ...] = (COMPREHENSIVE_SR, SECONDARY_CAPTURE),
        abort_at: int | None = None,
        title: str = "ARCHIVE",
        syntaxes: tuple[str, ...] = tuple(DEFAULT_TRANSFER_SYNTAXES),
        callers: tuple[str, ...] = (),
    ) -> Archive:
        archive = Archive(free_port(), list(statuses), abort_at)
        entity = AE(ae_title=title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(callers)
        for sop_class in classes:
            entity.add_supported_context(sop_class, list(syntaxes))
        handlers = [(evt.EVT_C_STORE, archive.on_store), (evt.EVT_RELEASED, archive.on_release)]
        address = ("127.0.0.1", archive.port)
        servers.append(entity.start_server(address, block=False, evt_handlers=handlers))
        return archive

    yield start
    for server in servers:
        stopping.submit(server.shutdown)
