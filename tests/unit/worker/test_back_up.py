"""A back-up made while everything goes on is restored: nothing is lost, and nothing doubled."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from backed_up_site import archive, is_proven, rows, send_study, site_settings
from proving_archive import ProvingArchive
from services import Broker as Server
from services import wait_for
from sqlalchemy import text
from typer.testing import CliRunner
from worker_thread import Worker

from dicom_node.commands.node import app
from dicom_node.node_process import running_node
from dicom_node.spool.back_up import BackUp, BackUpError
from dicom_node.spool.files.removal import is_being_read
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.kept_messages import KeptMessages
from dicom_node.studies.broker import DELIVER_QUEUE, DELIVER_TASK, Broker
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger import copying
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.schema import SCHEMA
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject
from worker.runtime import Runtime

__all__ = ["archive"]


@pytest.fixture
def node(
    runtime_with: Callable[..., Runtime],
    archive: ProvingArchive,
    monkeypatch: pytest.MonkeyPatch,
) -> Runtime:
    """Return a worker of a site whose archive is asked for what it accepts."""
    # What workers are told of is found in the ledger: no broker runs here.
    monkeypatch.setattr(Dispatcher, "_dispatch", lambda *_: None)
    return runtime_with(**site_settings(archive))


def back_up(node: Runtime, folder: Path) -> None:
    config = folder.parent / "site.toml"
    config.write_text(f'spool = "{node.settings.spool}"\n')
    done = CliRunner().invoke(app, ["back-up", str(folder), "--config", str(config)])
    assert done.exit_code == 0, done.output


def restored(
    node: Runtime, folder: Path, runtime_with: Callable[..., Runtime], name: str
) -> Runtime:
    """Put a back-up where the settings of another machine name the spool."""
    spool = folder.parent / name
    shutil.copytree(folder, spool)
    again = runtime_with(
        destinations=node.settings.destinations,
        receive=node.settings.receive,
        settling=node.settings.settling,
        broker=node.settings.broker,
    )
    again.settings = again.settings.model_copy(update={"spool": spool})
    return again


def test_what_came_and_was_delivered_since_is_there_once_after_a_back_up_was_restored(
    node: Runtime,
    *,
    archive: ProvingArchive,
    tmp_path: Path,
    runtime_with: Callable[..., Runtime],
    monkeypatch: pytest.MonkeyPatch,
    log_lines: list[Any],
) -> None:
    came: list[str] = []

    with running_node(node.settings), Worker(node) as worker:
        wait_for(node.database.has_tables, seconds=30, what="the node has made its ledger")
        worker.deliveries = False
        came.append(send_study(node))
        wait_for(lambda: rows(node, ResultObject), seconds=60, what="the study is analysed")
        monkeypatch.setattr(copying, "copy_ledger", _then(copying.copy_ledger, node, came))
        back_up(node, tmp_path / "copy")
        worker.deliveries = True
        is_proven(node, *came)
    held = dict(archive.held)

    again = restored(node, tmp_path / "copy", runtime_with, "other")
    assert len(rows(again, Instance)) == 1  # and the other image only in its place
    with running_node(again.settings), Worker(again):
        is_proven(again, *came)

    assert archive.held == held
    assert {row.sop_instance_uid for row in rows(again, ResultObject)} == set(held)
    assert len(rows(again, Instance)) == 2
    told = [one for one in log_lines if one["event"] == "spool_restored"]
    assert [one["count"] for one in told] == [1]
    with running_node(again.settings):  # from then on it is as any other
        pass
    assert [one["event"] for one in log_lines].count("spool_restored") == 1


def _then(copy: Callable[..., bool], node: Runtime, came: list[str]) -> Callable[..., bool]:
    """Have another study arrive and be registered once the ledger is copied."""

    def copied(database: Database, file: Path) -> bool:
        has_ledger = copy(database, file)
        came.append(send_study(node))
        wait_for(lambda: len(rows(node, Analysis)) == 2, seconds=60, what="it is registered")
        return has_ledger

    return copied


@pytest.mark.parametrize("folder", ["hl7", "announced", "reports", "commitment"])
@pytest.mark.parametrize("is_first", [True, False], ids=["before the ledger", "after it"])
def test_message_that_is_entered_while_the_ledger_is_copied_is_in_the_back_up(
    node: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, folder: str, is_first: bool
) -> None:
    messages = KeptMessages(node.settings.spool, folder, most=10, what="messages")
    Spool(node.settings.spool)
    if is_first:
        messages.keep({}, b"what was said")

    def copied(database: Database, file: Path) -> bool:
        has_ledger = copy_ledger(database, file)
        if is_first:
            for one in (node.settings.spool / folder).iterdir():
                one.unlink()
        else:
            messages.keep({}, b"what was said")
        return has_ledger

    copy_ledger = copying.copy_ledger
    monkeypatch.setattr(copying, "copy_ledger", copied)
    back_up(node, tmp_path / "copy")

    (kept,) = (tmp_path / "copy" / folder).iterdir()
    assert kept.read_bytes().endswith(b"what was said")


def test_back_up_is_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BackUpError, match="name a new folder"):
        BackUp(tmp_path)


def test_node_refuses_a_back_up_that_was_not_completed(node: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    BackUp(folder).copy_spool(node.settings.spool)
    settings = node.settings.model_copy(update={"spool": folder})

    with pytest.raises(BackUpError, match="not completed"), running_node(settings):
        pass


def test_nothing_is_removed_while_a_back_up_is_made(
    node: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.database.migrate()
    seen = []
    monkeypatch.setattr(
        BackUp, "copy_spool", lambda _, root: seen.append(is_being_read(root, "studies/1/2.dcm"))
    )

    back_up(node, tmp_path / "copy")

    assert seen == [True]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    server = Server(tmp_path).start()
    yield server.url
    server.kill()


def test_ledger_goes_back_to_an_earlier_release_once_the_node_is_stopped(
    node: Runtime, url: str, tmp_path: Path
) -> None:
    node.database.migrate()
    broker = Broker(url)
    broker.notify(DELIVER_TASK, DELIVER_QUEUE, [1, 2])
    config = tmp_path / "site.toml"
    config.write_text(f'spool = "{node.settings.spool}"\n[broker]\nurl = "{url}"\n')

    def to(schema: str) -> Any:
        return CliRunner().invoke(app, ["migrate-back", schema, "--config", str(config)])

    with running_node(node.settings):
        refused = to("0008")
    unknown = to("0000")
    done = to("0008")

    assert (refused.exit_code, unknown.exit_code, done.exit_code) == (1, 1, 0)
    assert "another node process works on" in refused.output
    assert "no schema 0000" in unknown.output
    assert broker.waiting(DELIVER_QUEUE) == 0
    with closing(Database(node.settings.ledger_url)) as database:
        with database.reading() as session:
            assert session.scalars(text("SELECT version_num FROM alembic_version")).one() == "0008"
        database.migrate()
        database.require_schema()
    assert SCHEMA in done.output
