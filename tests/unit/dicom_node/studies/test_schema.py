"""A program and a ledger of two releases: nothing is written, and one line says what to do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from interleaving import Stage
from node_factory import NOW, analysis_row, delivery_row, mammogram, result_row, study_row
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sending import send
from services import wait_for
from sqlalchemy import select, text
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.errors import LedgerError
from dicom_node.node_process import running_node
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.schema import MIGRATIONS, SCHEMA, OtherSchemaError, name_in_messages
from dicom_node.studies.ledger.states import DeliveryState
from dicom_node.studies.ledger.tables import DeliveryOutcome, Study

LATER, EARLIER = "9999", "0008"


def set_schema(database: Database, schema: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{schema}'"))


@contextmanager
def of_schema(database: Database, schema: str) -> Iterator[None]:
    """Let the ledger say for a while that another release has migrated it."""
    set_schema(database, schema)
    try:
        yield
    finally:
        set_schema(database, SCHEMA)


def test_schema_of_this_program_is_its_last_migration() -> None:
    assert ScriptDirectory(MIGRATIONS).get_current_head() == SCHEMA


@pytest.mark.parametrize(
    ("schema", "words"),
    [(LATER, "older than the node that made the ledger"), (EARLIER, "newer than the node")],
)
def test_ledger_of_another_release_is_not_written(
    database: Database, schema: str, words: str
) -> None:
    with (
        of_schema(database, schema),
        pytest.raises(OtherSchemaError, match=words) as refused,
        database.writing() as session,
    ):
        study_row(session, "1.2.3")

    assert schema in str(refused.value)
    assert SCHEMA in str(refused.value)
    assert "\n" not in str(refused.value)
    with database.writing() as session:  # and the connection is in order
        assert session.scalars(select(Study)).all() == []


def test_refusal_counts_as_trouble_with_the_ledger_wherever_that_is_expected(
    database: Database,
) -> None:
    for kind in (LedgerError, DATABASE_TROUBLE):
        with of_schema(database, LATER), pytest.raises(kind), database.writing() as session:
            study_row(session, "1.2.3")


@pytest.mark.parametrize("schema", [LATER, EARLIER])
def test_ledger_of_another_release_is_not_opened(database: Database, schema: str) -> None:
    with of_schema(database, schema), pytest.raises(OtherSchemaError):
        database.require_schema()


def test_ledger_of_a_later_release_is_not_migrated(database: Database) -> None:
    with of_schema(database, LATER):
        with pytest.raises(OtherSchemaError, match="older than the node"):
            database.migrate()
        with database.reading() as session:
            found = session.scalars(text("SELECT version_num FROM alembic_version")).one()

    assert found == LATER


def test_transaction_in_the_middle_of_a_migration_writes_before_it_or_nothing(
    database: Database,
) -> None:
    """Every order of a writer that has two statements, and of a migration to a later schema."""

    def write() -> None:
        with database.writing() as session:
            study_row(session, "1.2.3")
            session.scalars(select(Study)).all()

    def migrate() -> None:
        with database._migrating() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{LATER}'"))
            seen.append(connection.execute(text("SELECT count(*) FROM studies")).scalar())

    outcomes = set()
    with Stage(database).open() as stage:
        for first in ([0], [0, 0, 1, 1, 1], [0, 1, 1, 1, 0], [1, 0, 1, 0, 1], [1, 1, 1, 1]):
            seen: list[Any] = []
            (writer, migration), _ = stage.run([write, migrate], first)
            assert migration.error is None
            with database.engine.begin() as connection:
                kept = connection.execute(text("SELECT count(*) FROM studies")).scalar()
                connection.execute(text("DELETE FROM studies"))
            set_schema(database, SCHEMA)
            # What was written before is seen by the migration, and nothing is written after it.
            assert seen == [kept] == [0 if writer.error else 1]
            assert isinstance(writer.error, OtherSchemaError | None)
            outcomes.add(kept)

    assert outcomes == {0, 1}


def test_worker_of_a_release_without_the_check_puts_messages_of_the_node_back(
    database: Database,
) -> None:
    """It compares the name in a message with the identity, and reads 32 hexadecimal digits."""
    name = database.name_in_messages()

    assert name == name_in_messages(database.identity()) != database.identity()
    assert len(bytes.fromhex(name)) == 16


@pytest.mark.parametrize("table", ["deliveries", "delivery_outcomes"])
def test_state_of_a_former_release_is_refused_by_the_ledger_itself(
    database: Database, table: str
) -> None:
    """A worker of that release ends what it was sending: it knows nothing of this check."""
    with database.writing() as session:
        analysis = analysis_row(session, study_row(session, "1.2.3"))
        delivery = delivery_row(session, analysis, state=DeliveryState.SENDING)
        row = DeliveryOutcome(delivery_id=delivery.id, at=NOW, outcome="postponed", status="")
        row.result_object_id = result_row(session, analysis).id
        session.add(row)
    column = {"deliveries": "state", "delivery_outcomes": "outcome"}[table]

    with pytest.raises(DATABASE_TROUBLE), database.engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET {column} = 'delivered'"))

    with database.engine.begin() as connection:  # and nothing else is refused
        connection.execute(text(f"UPDATE {table} SET {column} = 'accepted'"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


def ledger_of(settings: Settings, schema: str) -> None:
    settings.spool.mkdir()
    database = Database(settings.ledger_url)
    database.migrate()
    set_schema(database, schema)
    database.close()


def test_node_says_once_that_the_ledger_is_of_a_later_release(
    settings: Settings, log_lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_of(settings, LATER)
    monkeypatch.setattr("dicom_node.node_process._TICK_SECONDS", 0.05)

    def told() -> list[Any]:
        return [one for one in log_lines if one["event"] == "ledger_of_another_version"]

    with running_node(settings):
        wait_for(told, seconds=30, what="the node says so")
        threading.Event().wait(0.5)  # in which each thread looks again some times

    assert len(told()) == 1
    assert "older than the node that made the ledger" in told()[0]["detail"]
    assert not [one for one in log_lines if one["event"] == "step_failed"]


def test_node_beside_an_upgraded_ledger_goes_on_receiving_and_registers_nothing(
    settings: Settings, log_lines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_of(settings, SCHEMA)
    monkeypatch.setattr("dicom_node.node_process._TICK_SECONDS", 0.05)
    attempts: list[object] = []
    register = Registrar.register_all
    monkeypatch.setattr(
        Registrar, "register_all", lambda *arguments: attempts.append(1) or register(*arguments)
    )
    image = mammogram()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian

    def events(name: str) -> list[Any]:
        return [one for one in log_lines if one["event"] == name]

    with closing(Database(settings.ledger_url)) as database, running_node(settings) as node:
        wait_for(node._ledger_ready.is_set, seconds=30, what="the node has its ledger")
        set_schema(database, LATER)
        assert send([image], settings.receive.port) == [0x0000]
        wait_for(lambda: events("ledger_of_another_version"), seconds=30, what="it says so")
        attempts.clear()
        wait_for(lambda: len(attempts) >= 3, seconds=30, what="it is tried again and again")
        set_schema(database, SCHEMA)
        wait_for(lambda: events("instance_new"), seconds=30, what="the image is registered")

    assert len(events("ledger_of_another_version")) == 1
    assert not events("registering_failed") + events("step_failed")


@pytest.mark.parametrize("command", [["studies"], ["show", "1.2.3"], ["resume", "node"], ["check"]])
def test_command_on_a_ledger_of_another_release_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    ledger_of(settings, LATER)
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "{settings.spool}"\n')
    run: Callable[..., Any] = CliRunner().invoke

    done = run(app, [*command, "--config", str(config)])

    assert done.exit_code == (2 if command == ["check"] else 1)
    assert f"schema {LATER}" in done.output
    assert "Traceback" not in done.output
