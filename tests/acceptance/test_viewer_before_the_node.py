"""OHIF shows a study and its results out of a node, with no archive between."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from browser import Browser, headless_browser
from ports import free_port
from services import wait_for
from shown_results import (
    PHANTOM,
    REPORT,
    SCORE,
    meet_in_the_middle,
    phantom_findings,
    region_is_colored,
    rendered,
)
from sqlalchemy import select
from viewers import TOUR_WAS_SEEN, ohif_before_service

from dicom_node.dicomweb.web_server import WebServer
from dicom_node.node_parts import registrar_of
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.receive.files.submission import files_to_submit, submit_files
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, ResultObject, Study


@dataclass
class Shown:
    """A browser on the viewer, and the study before it."""

    browser: Browser
    address: str
    study_instance_uid: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("node")
    settings = Settings(
        spool=folder / "spool",
        receive={"minimum_free_bytes": 1},
        dicomweb={
            "enabled": True,
            "port": free_port(),
            "clients": [{"name": "viewer", "networks": ["127.0.0.0/8"], "may": ["read"]}],
        },
    )
    spool = Spool(settings.spool)
    server = WebServer(
        settings.dicomweb,
        settings.receive,
        spool,
        tls=settings.tls,
        ledger_url=settings.ledger_url,
        log_format="json",
    )
    with closing(Database(settings.ledger_url)) as database:
        database.migrate()
        with file_intake(
            settings.receive, spool, origin="submit", calling_ae_title="SUBMIT"
        ) as intake:
            assert submit_files(files_to_submit([PHANTOM]), intake).is_whole
        with closing(registrar_of(settings, spool, database)) as registrar:
            registrar.register_all()
        _keep_results(folder, spool, database)
    server.start()
    try:
        with (
            ohif_before_service(settings.dicomweb.port) as address,
            headless_browser(folder / "profile") as browser,
        ):
            browser.page.add_init_script(TOUR_WAS_SEEN)
            yield Shown(browser, address, phantom_findings().study_instance_uid)
    finally:
        server.stop()


def _keep_results(folder: Path, spool: Spool, database: Database) -> None:
    """Enter the results as a worker does that has analysed the study."""
    results = rendered(folder, PHANTOM, phantom_findings())
    with database.writing() as session:
        study = session.scalars(select(Study)).one()
        analysis = Analysis(
            study_id=study.id, revision=1, state=AnalysisState.DONE, attempts=1,
            due_at=study.first_received_at, created_at=study.first_received_at,
        )  # fmt: skip
        session.add(analysis)
        session.flush()
        for kind, files in results.items():
            for number, file in enumerate(files):
                name = f"{kind}-{number}"
                place = spool.keep_result(file.read_bytes(), analysis.id, 1, name)
                header = pydicom.dcmread(file, stop_before_pixels=True)
                session.add(
                    ResultObject(
                        analysis_id=analysis.id,
                        kind=kind,
                        sop_class_uid=header.SOPClassUID,
                        sop_instance_uid=header.SOPInstanceUID,
                        series_instance_uid=header.SeriesInstanceUID,
                        place=place,
                    )
                )


@pytest.mark.long
def test_study_is_listed_and_its_images_and_results_are_shown(shown: Shown) -> None:
    page = shown.browser.page
    page.goto(f"{shown.address}/?datasources=node")
    page.get_by_text("PHANTOM").first.wait_for(timeout=90_000)
    row = page.locator("tr").filter(has_text="PHANTOM").first.inner_text()

    page.goto(f"{shown.address}/viewer/node?StudyInstanceUIDs={shown.study_instance_uid}")
    rows = page.locator("[data-cy^=study-browser-thumbnail]")
    rows.filter(has_text=REPORT).wait_for(timeout=90_000)
    wait_for(
        lambda: meet_in_the_middle(shown.browser.pixels()), seconds=90, what="the views are shown"
    )
    page.wait_for_load_state("networkidle", timeout=90_000)
    page.keyboard.press(".")  # to the results
    outline = page.locator("svg.svg-layer text").filter(has_text=f"{100 * SCORE:.2f} %")
    outline.first.wait_for(timeout=60_000)
    wait_for(lambda: region_is_colored(shown.browser), seconds=60, what="the region is colored")

    assert {"MG", "OT", "SEG", "SR"} <= set(row.replace("\\", " ").replace("/", " ").split())
    assert rows.filter(has_text="AI pictures - RESEARCH USE ONLY").count() == 1
    assert rows.filter(has_text="AI regions - RESEARCH USE ONLY").count() > 0
    # The viewer gives up requests itself where it goes on to another page.
    assert shown.browser.complaints == []
