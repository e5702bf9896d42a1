"""Spool and ledger in PostgreSQL are backed up and restored by the commands of the documents."""

import getpass
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import documents
import pytest
from backed_up_site import archive, image_of_a_study, is_proven, rows, send_study, site_settings
from postgresql import PostgreSQL, postgresql
from proving_archive import ProvingArchive
from services import BIN, wait_for
from worker_thread import Worker

from dicom_node.node_process import running_node
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study
from worker.runtime import Runtime

__all__ = ["archive", "postgresql"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

FOLDER, SPOOL = "/backup/2026-11-29", "/var/lib/mammoclip/spool"
DATABASE, ACCOUNT = "postgresql://node@database/node", "mammoclip:"


def documented(beginning: str) -> str:
    """Return the line of docs/upgrading.md, as a person would paste it, that begins so."""
    lines = documents.text_of(documents.ROOT / "docs" / "upgrading.md").splitlines()
    (found,) = {line.strip() for line in lines if line.strip().startswith(f"{beginning} ")}
    return found


def paste(line: str, node: Runtime, folder: Path, **places: str) -> None:
    """Run a line of a document at the places of a test."""
    config = folder.parent / "site.toml"
    config.write_text(
        f'spool = "{node.settings.spool}"\n[ledger]\nurl = "{node.settings.ledger_url}"\n'
    )
    environment = {"MAMMOCLIP_CONFIG": str(config), "PATH": f"{BIN}:{os.environ['PATH']}"}
    for written, meant in {**places, FOLDER: str(folder)}.items():
        line = line.replace(written, meant)
    subprocess.run(["/bin/sh", "-c", line], check=True, env={**os.environ, **environment})


def libpq(url: str) -> str:
    return f"'{url.replace('postgresql+psycopg', 'postgresql')}'"


def test_what_was_backed_up_is_there_once_and_what_came_since_is_sent_again(
    runtime_with: Callable[..., Runtime],
    postgresql: PostgreSQL,
    *,
    archive: ProvingArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Dispatcher, "_dispatch", lambda *_: None)
    # The restored ledger has it that the former node works on the spool, for a minute.
    monkeypatch.setattr("dicom_node.studies.ledger.spools.HELD_FOR", timedelta(seconds=1))
    settings, urls = site_settings(archive), [postgresql.new_database() for _ in range(2)]
    folder = tmp_path / "backup"
    node = runtime_with(**settings, ledger={"url": urls[0]})
    later = image_of_a_study()

    with running_node(node.settings) as process, ExitStack() as working:
        wait_for(process._ledger_ready.is_set, seconds=60, what="the node has made its ledger")
        working.enter_context(Worker(node))
        kept = [send_study(node)]
        is_proven(node, *kept)
        paste(documented("pg_dump"), node, folder, **{DATABASE: libpq(urls[0])})
        kept.append(send_study(node))  # is in the spool alone
        is_proven(node, *kept)
        paste(documented("mammoclip-node back-up"), node, folder)
        lost = send_study(node, later)  # is in neither
        is_proven(node, *kept, lost)
    held = dict(archive.held)

    again = runtime_with(**settings, ledger={"url": urls[1]})
    spool = tmp_path / "restored"
    again.settings = again.settings.model_copy(update={"spool": spool})
    places = {SPOOL: str(spool), ACCOUNT: f"{getpass.getuser()}:", DATABASE: libpq(urls[1])}
    for command in ("cp", "pg_restore"):
        paste(documented(command), again, folder, **places)
    assert len(rows(again, Instance)) == 1
    with running_node(again.settings), Worker(again):
        is_proven(again, *kept)
        assert lost not in {row.study_instance_uid for row in rows(again, Study)}
        send_study(again, later)
        is_proven(again, *kept, lost)

    assert archive.held == held
    assert {row.sop_instance_uid for row in rows(again, ResultObject)} == set(held)
    assert len(rows(again, Instance)) == len(rows(again, Analysis)) == 3
