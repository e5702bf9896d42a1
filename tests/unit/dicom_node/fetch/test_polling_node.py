"""A running node polls: studies of an archive that does not push are received."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from archive_double import ArchiveDouble
from node_factory import STUDY_UID, mammogram
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from services import wait_for
from sqlalchemy import select

from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Study


@pytest.mark.long
@pytest.mark.usefixtures("log_lines")
def test_study_of_a_polled_archive_is_received(tmp_path: Path) -> None:
    today = f"{datetime.now(UTC):%Y%m%d}"
    image = mammogram(StudyDate=today)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with ArchiveDouble([image]).running() as archive:
        settings = Settings(
            spool=tmp_path / "spool",
            receive={"port": free_port(), "minimum_free_bytes": 1},
            broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
            destinations=[archive.destination()],
            poll=[{"archive": "pacs", "seconds": 0.5}],
        )
        with running_node(settings):
            database = Database(settings.ledger_url)

            def received() -> list[str]:
                if not database.has_tables():
                    return []
                with database.reading() as session:
                    return list(session.scalars(select(Study.study_instance_uid)))

            wait_for(received, seconds=60, what="the study is received")
            assert received() == [STUDY_UID]
            database.close()
