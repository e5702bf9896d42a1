"""The node's console in its real process, on loopback, before a ledger with studies."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from console_factory import ACCESSION, PASSWORD, Served
from node_factory import NOW, Reception, four_views
from ports import free_port
from services import wait_for

from dicom_node.serving.child_server import ChildServer
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.accounts import add_account
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.tokens import add_token
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, migrated_ledger: Path) -> Iterator[Served]:
    """Return a console with an account and a token of each role, and one study."""
    spool = Spool(tmp_path_factory.mktemp("console") / "spool")
    shutil.copy(migrated_ledger, spool.root / "ledger.sqlite")
    settings = Settings(
        spool=spool.root,
        receive={"port": free_port(), "minimum_free_bytes": 1},
        console={
            "enabled": True,
            "port": free_port(),
            "analyze_wait_seconds": 0,
            "maximum_upload_bytes": 5_000_000,
        },
        destinations=[
            {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": free_port()}
        ],
    )
    database = Database(settings.ledger_url)
    reception = Reception(spool, database)
    pixels = np.arange(96 * 64, dtype="<u2").tobytes()
    for image in four_views(
        AccessionNumber=ACCESSION,
        StudyDate="20260304",
        Rows=96,
        Columns=64,
        BitsStored=16,
        HighBit=15,
        PixelData=pixels,
    ):
        reception.receive(image)
    tokens = {}
    with database.writing() as session:
        for role in Role:
            add_account(session, role.value, role, PASSWORD, at=NOW)
            tokens[role] = add_token(session, f"{role} program", role, expires_at=None, at=NOW)
    server = ChildServer(
        settings.console,
        section="console",
        module="dicom_node.console.web_process",
        order=settings,
    )
    server.start()
    url = f"http://127.0.0.1:{settings.console.port}"
    try:
        wait_for(lambda: _answers(url), seconds=60, what="the console answers")
        yield Served(url=url, settings=settings, database=database, spool=spool, tokens=tokens)
    finally:
        server.stop()
        database.close()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False
