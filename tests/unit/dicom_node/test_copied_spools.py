"""Of two nodes on copies of one spool, before one ledger, only one works on its files."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from node_factory import Reception, mammogram
from ports import free_port
from services import wait_for
from sqlalchemy import update

from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import KnownSpool
from dicom_node.studies.ledger.spools import SpoolHeldError
from dicom_node.studies.own_spool import own_spool
from dicom_node.studies.spool_hold import SpoolHold

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def spool(reception: Reception) -> Spool:
    """Return the spool of a node that has an image, and its number."""
    reception.receive(mammogram())
    assert own_spool(reception.spool, reception.database) == 1
    return reception.spool


@pytest.fixture
def copy(spool: Spool, tmp_path: Path) -> Spool:
    shutil.copytree(spool.root, tmp_path / "copy")
    return Spool(tmp_path / "copy")


def is_taken(spool: Spool, database: Database) -> bool:
    """Have the process of a node start on a spool; return whether it may work there."""
    try:
        SpoolHold(spool, database).keep(1)
    except SpoolHeldError as error:
        assert "a further node needs a spool of its own" in str(error)
        return False
    return True


def test_node_on_a_copy_of_a_spool_waits_until_the_other_node_has_ended(
    tmp_path: Path, database: Database, log_lines: list[Any]
) -> None:
    def settings(folder: str) -> Settings:
        return Settings(
            spool=tmp_path / folder,
            ledger={"url": database.engine.url.render_as_string(hide_password=False)},
            receive={"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
            broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
        )

    def told() -> list[Any]:
        return [one for one in log_lines if one["event"] == "spool_held"]

    with running_node(settings("spool")) as node:
        wait_for(node._ledger_ready.is_set, seconds=60, what="the first node has its ledger")
        shutil.copytree(tmp_path / "spool", tmp_path / "copy")
        with running_node(settings("copy")) as copied:
            (line,) = wait_for(told, seconds=60, what="the node on the copy says so")
            assert f":{tmp_path / 'spool'}," in line["detail"]
            assert node._ledger_ready.is_set()
            assert not copied._ledger_ready.is_set()

            node.stop()
            wait_for(copied._ledger_ready.is_set, seconds=60, what="the other goes on")
    assert len(told()) == 1


def test_process_that_was_killed_has_its_spool_again_at_once(
    spool: Spool, database: Database
) -> None:
    assert is_taken(spool, database)
    assert is_taken(spool, database)


def test_process_that_was_killed_before_the_ledger_had_its_token_has_its_spool_again(
    spool: Spool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_taken(spool, database)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("dicom_node.studies.spool_hold.hold_spool", _killed)
        SpoolHold(spool, database).keep(1)

    assert is_taken(spool, database)


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("began", [False, True], ids=["copied before", "copied while it works"])
def test_copy_is_refused_while_the_other_works(
    spool: Spool, database: Database, tmp_path: Path, *, began: bool
) -> None:
    if began:
        assert is_taken(spool, database)
    shutil.copytree(spool.root, tmp_path / "copy")
    if not began:
        assert is_taken(spool, database)

    assert not is_taken(Spool(tmp_path / "copy"), database)
    assert is_taken(spool, database)


def test_copy_without_the_identity_is_recognised_and_refused(
    spool: Spool, copy: Spool, database: Database
) -> None:
    (copy.root / "spool.id").unlink()
    assert is_taken(spool, database)

    with pytest.raises(SpoolHeldError, match="is that of the node at"):
        own_spool(copy, database)


def test_copy_of_a_spool_that_nobody_works_on_any_more_is_a_node_like_any_other(
    spool: Spool, copy: Spool, database: Database
) -> None:
    assert is_taken(spool, database)
    with database.writing() as session:
        past = database_time(session) - timedelta(seconds=1)
        session.execute(update(KnownSpool).values(held_until=past))

    assert is_taken(copy, database)
    assert not is_taken(spool, database)  # until that one ends


def test_node_that_ends_lets_a_moved_spool_begin_at_once(
    spool: Spool, copy: Spool, database: Database
) -> None:
    hold = SpoolHold(spool, database)
    hold.keep(1)
    hold.release(1)

    assert is_taken(copy, database)


def test_process_whose_spool_was_taken_meanwhile_stops_working_on_it(
    spool: Spool, copy: Spool, database: Database
) -> None:
    frozen = SpoolHold(spool, database)
    frozen.keep(1)
    with database.writing() as session:
        session.execute(update(KnownSpool).values(held_until=None))
    assert is_taken(copy, database)
    frozen._next = 0.0  # as five seconds later

    with pytest.raises(SpoolHeldError):
        frozen.keep(1)
    frozen.release(1)
    assert is_taken(copy, database)


def test_full_disk_keeps_nobody_from_working(
    spool: Spool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dicom_node.studies.spool_hold.create_private_file", full)

    assert is_taken(spool, database)
