"""A node fetches new studies out of a real archive that does not push, by date and by changes."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from files_on_disk import dicom_file
from node_factory import STUDY_UID, Reception, four_views, mammogram
from ports import free_port
from services import Orthanc

from dicom_node.fetch.polling import Polling
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

pytestmark = pytest.mark.orthanc


def test_new_studies_are_fetched_once_by_each_kind_of_poll(tmp_path: Path) -> None:
    archive = Orthanc(tmp_path, node_port=free_port()).start()
    databases = []

    def node_of(name: str, **poll: object) -> tuple[Reception, Polling]:
        destinations = [
            {"name": "web", "kind": "dicomweb", "url": archive.dicomweb_url},
            {
                "name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1",
                "port": archive.dicom_port,
            },
        ]  # fmt: skip
        receive = ReceiveSettings(minimum_free_bytes=1)
        settings = Settings(
            spool=tmp_path / name,
            receive=receive,
            destinations=destinations,
            poll=[{"seconds": 1e-6, **poll}],
        )
        spool = Spool(settings.spool, minimum_free_bytes=1)
        database = Database(settings.ledger_url)
        databases.append(database)
        database.migrate()
        polling = Polling(
            settings, spool, database, is_ready=lambda: True, stopping=threading.Event()
        )
        return Reception(spool, database, receive), polling

    try:
        nodes = [
            node_of("web", archive="web"),
            node_of("dicom", archive="pacs"),
            node_of(
                "orthanc",
                archive="web",
                kind="orthanc",
                orthanc_url=f"http://127.0.0.1:{archive.http_port}",
            ),
        ]
        today = f"{nodes[0][0].database.now() - timedelta(hours=1):%Y%m%d}"
        images = four_views(StudyDate=today, SeriesInstanceUID=f"{STUDY_UID}.1")
        report = mammogram(
            SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", Modality="SR", without=["PixelData"],
            SeriesInstanceUID=f"{STUDY_UID}.2", StudyDate=today,
        )  # fmt: skip
        for came in ([], [*images[:3], report], [], images[3:]):
            for one in came:
                archive.send("/instances", dicom_file(one))
            for reception, polling in nodes:
                polling.step()
                reception.registrar.register_all()

        for reception, _ in nodes:
            received = [row.sop_instance_uid for row in reception.instances()]
            assert sorted(received) == sorted(one.SOPInstanceUID for one in images)
            assert {row.state for row in reception.instances()} == {"registered"}
    finally:
        archive.stop()
        for database in databases:
            database.close()
