"""Sending to the node as a scanner does: pynetdicom SCU, stored transfer syntaxes."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from dicom_node.reactor_pause import pause_exactly


def datasets_of(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(file) for file in sorted(folder.glob("*.dcm"))]


def copies_of(folder: Path, count: int) -> list[list[Dataset]]:
    """Return studies of one real examination each, under UIDs of their own."""
    made = []
    for _ in range(count):
        images = deepcopy(datasets_of(folder))
        study = generate_uid()
        for image in images:
            image.StudyInstanceUID = study
            image.SOPInstanceUID = generate_uid()
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        made.append(images)
    return made


def send(
    datasets: Iterable[Dataset],
    port: int,
    *,
    calling: str = "SCANNER",
    called: str = "MAMMOCLIP",
    address: str = "127.0.0.1",
    **options: Any,
) -> list[int | None]:
    """Send data sets over one association; None stands for no answer or no accepted context."""
    datasets = list(datasets)
    entity = AE(ae_title=calling)
    for dataset in datasets:
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate(address, port, ae_title=called, **options)
    assert association.is_established, "the node accepts the association"
    pause_exactly(association)
    try:
        return [_status(association.send_c_store(dataset)) for dataset in datasets]
    finally:
        association.release()


def _status(answer: Dataset) -> int | None:
    return answer.get("Status")


def all_stored(statuses: Sequence[int | None]) -> bool:
    return all(status == 0x0000 for status in statuses)
