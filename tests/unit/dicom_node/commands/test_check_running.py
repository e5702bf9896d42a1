"""The checks of node, workers and backlog: what monitoring programs see of a site."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from licensed_bundle import WORDS, write_bundle
from node_factory import analysis_row, delivery_row, study_row
from ports import free_port
from services import BIN
from sqlalchemy import update

from dicom_node.commands.checks.check_running import check_running
from dicom_node.commands.checks.checked import Checked, Level
from dicom_node.node_process import running_node
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.canary_runs import CanaryFacts, note_run
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.pauses import Paused
from dicom_node.studies.ledger.due.workers import note_worker
from dicom_node.studies.ledger.site_tables import KnownWorker, Pause
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery

OLD = timedelta(minutes=30)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    Spool(settings.spool)
    with closing(Database(settings.ledger_url)) as database:
        database.migrate()
        yield database


def found(settings: Settings) -> dict[str, Checked]:
    return {one.name: one for one in check_running(settings, old_after=OLD)}


def served(database: Database, *queues: str, name: str = "worker@host") -> None:
    with database.writing() as session:
        note_worker(
            session, os.urandom(16).hex(), name=name, queues=queues, processes=1, version="0.1.0"
        )


def waiting(database: Database, **age: float) -> None:
    with database.writing() as session:
        analysis_row(session, study_row(session))
        session.execute(update(Analysis).values(created_at=database.now() - timedelta(**age)))


def test_node_that_does_not_run_is_critical_and_says_how_to_start_it(settings: Settings) -> None:
    node = found(settings)["node"]

    assert node.level is Level.CRITICAL
    assert "systemctl start mammoclip-node" in node.detail


def test_node_that_receives_is_well(settings: Settings) -> None:
    with running_node(settings):
        node = found(settings)["node"]

    assert (node.level, node.detail) == (Level.OK, f"receives on 127.0.0.1:{settings.receive.port}")


def test_settings_whose_port_is_not_that_of_the_running_node_are_critical(
    settings: Settings,
) -> None:
    other = settings.model_copy(
        update={"receive": settings.receive.model_copy(update={"port": free_port()})}
    )

    with running_node(settings):
        node = found(other)["node"]

    assert node.level is Level.CRITICAL
    assert "takes no connections" in node.detail


def test_check_takes_no_lock_that_keeps_a_node_from_starting(settings: Settings) -> None:
    Spool(settings.spool)
    found(settings)

    with running_node(settings):
        assert found(settings)["node"].level is Level.OK


def test_queue_that_nobody_serves_is_critical(settings: Settings, database: Database) -> None:
    served(database, "gpu", name="gpu@host")

    checked = found(settings)

    assert checked["workers that analyse"].level is Level.OK
    assert "gpu@host (1 process)" in checked["workers that analyse"].detail
    assert checked["workers that deliver"].level is Level.CRITICAL
    assert "none runs" in checked["workers that deliver"].detail


def test_worker_that_was_killed_is_named(settings: Settings, database: Database) -> None:
    served(database, "gpu", "deliver", name="first@host")
    with database.writing() as session:
        session.execute(update(KnownWorker).values(seen_at=database.now() - timedelta(minutes=3)))

    checked = found(settings)

    assert "first@host, was seen 3 min ago" in checked["workers that analyse"].detail
    assert checked["worker first@host"].level is Level.WARNING


def test_work_that_waits_for_long_is_a_warning(settings: Settings, database: Database) -> None:
    waiting(database, hours=3)

    checked = found(settings)["backlog"]

    assert checked.level is Level.WARNING
    assert "1 analyses wait, the oldest for 3 h; no deliveries wait" in checked.detail


def test_work_that_has_just_come_is_none(settings: Settings, database: Database) -> None:
    waiting(database, minutes=2)
    with database.writing() as session:
        row = delivery_row(session, session.get_one(Analysis, 1))
        row.created_at = database.now()

    assert found(settings)["backlog"].level is Level.OK


def test_backlog_of_a_pause_names_it(settings: Settings, database: Database) -> None:
    waiting(database, hours=3)
    with database.writing() as session:
        session.add(Pause(kind=Paused.WORKER, paused_by="anna", since=database.now()))

    assert "Paused: worker" in found(settings)["backlog"].detail


def accepted(database: Database, *, proof: str = "", **age: float) -> None:
    """Enter a delivery that its archive accepted, and is asked about unless that was given up."""
    with database.writing() as session:
        now = database.now()
        analysis = analysis_row(session, study_row(session))
        delivery_row(
            session,
            analysis,
            state=DeliveryState.ACCEPTED,
            finished_at=now - timedelta(**age),
            proof_due_at=None if proof else now,
            reason=proof or "not proven yet: no answer by C-FIND",
        )


@pytest.fixture
def proving(settings: Settings) -> Settings:
    archive = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "confirm": "query"}
    return Settings(**{**settings.model_dump(), "destinations": [archive]})


def test_archive_that_proves_nothing_in_its_time_is_a_warning_with_the_reason(
    proving: Settings, database: Database
) -> None:
    accepted(database, hours=3)

    checked = found(proving)["proof of archive"]

    assert checked.level is Level.WARNING
    assert checked.detail == (
        "1 delivery still to be proven, the oldest accepted 3 h ago (not proven yet: no answer by "
        "C-FIND). 'mammoclip-node studies' lists them as delivered (accepted); 'mammoclip-node "
        "retry' with a study's UID has them asked about again"
    )


def test_archive_has_the_time_that_the_settings_give_it_to_prove(
    proving: Settings, database: Database
) -> None:
    accepted(database, minutes=50)

    checked = found(proving)["proof of archive"]

    assert checked.level is Level.OK
    assert checked.detail == "1 delivery still to be proven, the oldest accepted 50 min ago"


def test_delivery_that_was_never_proven_stays_a_warning(
    proving: Settings, database: Database
) -> None:
    accepted(database, proof="never proven: no answer by C-FIND", days=8)

    checked = found(proving)["proof of archive"]

    assert checked.level is Level.WARNING
    assert "1 delivery of the last 30 days never proven, and asked about no more" in checked.detail


def test_archive_that_left_the_settings_before_it_proved_everything_is_a_warning(
    settings: Settings, database: Database
) -> None:
    accepted(database, hours=3)

    checked = found(settings)["proof of archive"]

    assert checked.level is Level.WARNING
    assert checked.detail == (
        "1 delivery accepted and not proven, whose files are kept: destination archive is not in "
        "the settings: enter it there again, or see 'mammoclip-node move-deliveries' and "
        "'drop-deliveries'"
    )


def test_proof_is_told_only_of_archives_that_are_to_give_it(
    proving: Settings, database: Database
) -> None:
    accepted(database, hours=3)

    values = proving.model_dump()
    values["destinations"][0]["confirm"] = "none"
    assert "proof of archive" not in found(Settings(**values))
    with database.writing() as session:
        delivery = session.get_one(Delivery, 1)
        delivery.state, delivery.proof_due_at = DeliveryState.CONFIRMED, None
    assert found(proving)["proof of archive"].detail == "everything accepted is proven"


def test_another_account_than_the_nodes_is_told_to_use_that_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool(settings.spool)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: 65534)

    account = found(settings)["account"]

    assert account.level is Level.WARNING
    assert f"runuser -u {owner} -- mammoclip-node check" in account.detail


@pytest.mark.parametrize("closed", ["incoming", "ledger.sqlite"])
def test_part_of_the_spool_that_cannot_be_written_fails_check_and_serve_in_words(
    tmp_path: Path, closed: str
) -> None:
    _make_site(tmp_path, closed)
    # Without these capabilities root may do what every account may.
    as_any_account = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown"]

    checked, serving = (
        subprocess.run(
            [*as_any_account, str(BIN / "mammoclip-node"), command],
            env={**os.environ, "MAMMOCLIP_CONFIG": str(tmp_path / "m.toml")},
            capture_output=True, text=True, check=False, timeout=60,
        )
        for command in ("check", "serve")
    )  # fmt: skip

    assert checked.returncode == 2, checked.stdout + checked.stderr
    assert f"{closed} cannot be written by this user" in checked.stdout
    assert serving.returncode == 1
    assert "Traceback" not in serving.stderr + serving.stdout
    assert serving.stderr.splitlines()[-1].startswith("mammoclip-node: ")


def _make_site(folder: Path, closed: str) -> None:
    write_bundle(folder / "bundle")
    (folder / "m.toml").write_text(
        f'spool = "spool"\n[receive]\nport = {free_port()}\nminimum_free_bytes = 1\n'
        f'[model]\nbundle = "bundle"\naccept = "{WORDS}"\n'
    )
    Spool(folder / "spool")
    with closing(Database(f"sqlite:///{folder}/spool/ledger.sqlite")) as database:
        database.migrate()
    os.chown(folder / "spool" / closed, 65534, 65534)


BROKEN = {"broken": "analyse", "reason": "no worker"}


def canary_of(settings: Settings, *, minutes: float = 0) -> Checked | None:
    canary = settings.canary.model_copy(update={"minutes": minutes})
    return found(settings.model_copy(update={"canary": canary})).get("canary")


def ran(database: Database, *, broken: str = "", reason: str = "", **age: float) -> None:
    began_at = database.now() - timedelta(**age)
    run = CanaryFacts(began_at=began_at, seconds={"prepare": 1.5}, broken=broken, reason=reason)
    with database.writing() as session:
        note_run(session, run, key="", scores="")


@pytest.mark.parametrize(
    ("minutes", "run", "words"),
    [
        (5, {"days": 3}, "to send one every 5 min"),
        (0, {"days": 3, **BROKEN}, "phase analyse was broken: no worker; mend"),
        (5, {"days": 0, **BROKEN}, "phase analyse was broken: no worker; mend"),
        (5, {"days": 3, **BROKEN}, "see whether it runs"),
    ],
)
def test_canary_study_that_is_broken_or_late_is_a_warning_and_says_what_to_do(
    settings: Settings, database: Database, minutes: float, run: dict[str, Any], words: str
) -> None:
    ran(database, **run)

    canary = canary_of(settings, minutes=minutes)

    assert canary is not None
    assert canary.level is Level.WARNING
    assert words in canary.detail
    assert canary.detail.endswith("then try again: mammoclip-node canary")


@pytest.mark.parametrize(
    ("minutes", "run", "words"),
    [
        (0, {"days": 3}, "everything worked"),
        (5, {"minutes": 20}, "everything worked"),
        (5, {"minutes": 20, "reason": "paused by anna"}, "which is no fault: paused by anna"),
    ],
)
def test_canary_study_that_came_or_was_held_is_well(
    settings: Settings, database: Database, minutes: float, run: dict[str, Any], words: str
) -> None:
    ran(database, **run)

    canary = canary_of(settings, minutes=minutes)

    assert canary is not None
    assert canary.level is Level.OK
    assert words in canary.detail


def test_canary_study_that_never_came_is_told_where_there_is_to_be_one(
    settings: Settings, database: Database
) -> None:
    assert database.has_tables()
    assert canary_of(settings) is None

    canary = canary_of(settings, minutes=5)

    assert canary is not None
    assert (canary.level, "none was ever sent" in canary.detail) == (Level.WARNING, True)
