"""A node in this process that is backed up, and the archive that proves what it has delivered."""

from collections.abc import Iterator
from typing import Any

import pytest
from ports import free_port
from proving_archive import ProvingArchive
from proving_site import stop_beside
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sending import send
from services import wait_for
from sqlalchemy import select
from worker_factory import shown_mammogram

from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.studies.ledger.queries.reading import summaries
from worker.runtime import Runtime


@pytest.fixture
def archive() -> Iterator[ProvingArchive]:
    started = ProvingArchive().start()
    yield started
    stop_beside([started])


def site_settings(archive: ProvingArchive) -> dict[str, Any]:
    """Return the settings of a site whose archive is asked for what it accepts."""
    where = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port}
    return {
        "destinations": (DicomDestination(name="archive", confirm="query", **where),),
        "receive": {"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
        "settling": {"idle_seconds": 0.3, "grace_seconds": 0.1},
        "broker": {"url": f"redis://127.0.0.1:{free_port()}/0"},
    }


def image_of_a_study() -> Dataset:
    """Return the one image of a study of its own."""
    dataset = shown_mammogram()
    dataset.StudyInstanceUID = generate_uid()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def send_study(node: Runtime, image: Dataset | None = None) -> str:
    """Send a study, by default a new one, and return its UID."""
    image = image or image_of_a_study()
    assert send([image], node.settings.receive.port) == [0x0000]
    return str(image.StudyInstanceUID)


def rows(node: Runtime, table: type[Any]) -> list[Any]:
    with node.database.reading() as session:
        return list(session.scalars(select(table)))


def is_proven(node: Runtime, *studies: str) -> None:
    def proofs() -> dict[str, str]:
        with node.database.reading() as session:
            found = summaries(session, limit=9)
        return {one.study_instance_uid: one.proof for one in found}

    wanted = dict.fromkeys(studies, "confirmed")
    wait_for(lambda: proofs() == wanted, seconds=60, what="all results are found at the archive")
