from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from node_factory import (
    FOR_PRESENTATION,
    NOW,
    Reception,
    analysis_row,
    delivery_row,
    finished,
    instance_row,
    made_result,
    mammogram,
    result_row,
    study_row,
)
from postgresql import PostgreSQL
from sqlalchemy import inspect, select, text, update

from dicom_node.errors import LedgerError
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.database import Database, _alembic
from dicom_node.studies.ledger.destinations.circuits import circuits, note_failure
from dicom_node.studies.ledger.states import DeliveryState, InstanceState, StudyState
from dicom_node.studies.ledger.tables import (
    Base,
    DeliveryOutcome,
    Instance,
    ResultObject,
    Study,
)


def test_migrated_ledger_is_what_the_tables_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )

        differences = compare_metadata(context, Base.metadata)

    assert differences == []


def test_partial_indexes_are_made(database: Database) -> None:
    queries = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%WHERE%'",
    }
    with database.reading() as session:
        indexes = list(session.scalars(text(queries[database.engine.dialect.name])))

    for kept in ("received", "registered", "due", "running"):
        assert f"'{kept}'" in "\n".join(indexes).replace("::text", "")
    assert not any("'set_aside'" in index for index in indexes if " uq_" in index)


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()

    with database.reading() as session:
        assert list(session.scalars(text("SELECT version_num FROM alembic_version"))) == ["0020"]


def test_states_are_stored_as_their_values(reception: Reception) -> None:
    reception.receive(mammogram())
    with reception.database.writing() as session:
        study = study_row(session, "1.2.3")
        finished(session, analysis_row(session, study), made_result())
        delivery_row(session, analysis_row(session, study, revision=2))

    with reception.database.reading() as session:
        stored = {
            table: set(session.scalars(text(f"SELECT state FROM {table}")))
            for table in ("studies", "instances", "analyses", "deliveries")
        }
        sop_class = session.scalars(text("SELECT sop_class_uid FROM instances")).one()

    assert stored == {
        "studies": {"open", "settled"},
        "instances": {"registered"},
        "analyses": {"done", "due"},
        "deliveries": {"due"},
    }
    assert sop_class == FOR_PRESENTATION


def test_ledger_without_tables_says_what_to_do(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.sqlite'}")

    with pytest.raises(LedgerError, match="start 'mammoclip-node serve' to create them"):
        database.require_schema()

    database.close()


def test_url_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.url"):
        Database("nonsense with s3cret")


def test_missing_driver_is_refused_in_words() -> None:
    with pytest.raises(LedgerError, match=r"ledger\.url"):
        Database("postgresql+nosuchdriver://node:s3cret@localhost/node")


def test_file_that_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"not a database, but long enough to be read as one" * 100)
    database = Database(f"sqlite:///{file}")

    with pytest.raises(LedgerError, match="ledger does not answer"):
        database.require_schema()

    database.close()


def test_database_error_shows_no_values(database: Database) -> None:
    with database.writing() as session:
        study_row(session, "1.2.3", patient_digest="PatientID=feed")

    with pytest.raises(Exception, match=r"(?i)unique") as caught, database.writing() as session:
        study_row(session, "1.2.3", patient_digest="PatientID=feed")

    assert "feed" not in str(caught.value)


def test_size_of_an_object_beyond_two_gigabytes_is_stored(database: Database) -> None:
    with database.writing() as session:
        instance_row(session, study_row(session, "1.2.3"), size_bytes=5 * 2**30)

    with database.reading() as session:
        assert session.scalars(select(Instance.size_bytes)).one() == 5 * 2**30


@pytest.mark.parametrize("value", ["L" * 100, "a\x00b", "lone \ud800 surrogate"])
def test_text_from_a_header_is_stored_whatever_it_holds(database: Database, value: str) -> None:
    with database.writing() as session:
        instance_row(session, study_row(session, "1.2.3"), laterality=value, calling_ae_title=value)
        session.execute(update(Instance).values(detail=value))

    with database.reading() as session:
        row = session.scalars(select(Instance)).one()
    assert row.laterality == row.calling_ae_title
    assert 0 < len(row.laterality) <= 16
    assert len(row.detail) == len(value)


def test_migration_leads_back_and_forth_with_its_rows(database: Database) -> None:
    with database.writing() as session:
        study = study_row(session, "1.2.3")
        instance_row(session, study, state=InstanceState.TAKEN_BACK, place="")
        instance_row(session, study, state=InstanceState.SET_ASIDE)

    with database.engine.begin() as connection:
        command.downgrade(_alembic(connection), "0001")
        before = list(connection.scalars(text("SELECT state FROM instances ORDER BY id")))
    database.migrate()

    assert before == ["set_aside", "set_aside"]
    with database.reading() as session:
        states = list(session.scalars(select(Instance.state).order_by(Instance.id)))
    assert states == [InstanceState.TAKEN_BACK, InstanceState.SET_ASIDE]


def test_earlier_version_finds_what_waits_for_a_destination_as_it_knows_it(
    database: Database,
) -> None:
    with database.writing() as session:
        analysis = analysis_row(session, study_row(session, "1.2.3"))
        delivery_row(session, analysis)
        delivery_row(session, analysis, destination="dry", state=DeliveryState.HELD, reason="dry")
        for _ in range(3):
            note_failure(session, "archive", reason="silent", policy=RetrySettings(), at=NOW)

    with database.engine.begin() as connection:
        command.downgrade(_alembic(connection), "0008")
        before = list(connection.execute(text("SELECT state, reason FROM deliveries ORDER BY id")))
    database.migrate()

    assert [tuple(row) for row in before] == [("due", ""), ("expired", "dry")]
    with database.reading() as session:
        assert circuits(session, at=NOW) == {}


def test_removed_files_are_still_removed_after_a_step_back_and_forth(database: Database) -> None:
    with database.writing() as session:
        study = study_row(session, "1.2.3", removed_at=NOW, removed_because="for its age")
        removed = {"state": InstanceState.REMOVED, "removed_at": NOW}
        instance_row(session, study, **removed, place="")
        instance_row(session, study, **removed)
        instance_row(session, study, state=InstanceState.REPLACED, place="")
        result_row(session, analysis_row(session, study), removed_at=NOW, place="")
        study_row(session, "erased 2", state=StudyState.ERASED)

    with database.engine.begin() as connection:
        command.downgrade(_alembic(connection), "0008")
        before = list(connection.scalars(text("SELECT state FROM instances ORDER BY id")))
    database.migrate()

    # To the former release they have given way, and what is left of their files is deleted.
    assert before == ["replaced"] * 3
    with database.reading() as session:
        rows = list(session.scalars(select(Instance).order_by(Instance.id)))
        assert session.scalars(select(ResultObject.place)).one() == ""
        states = list(session.scalars(select(Study.state).order_by(Study.id)))
    assert states == [StudyState.SETTLED, StudyState.ERASED]
    assert [row.state.value for row in rows] == ["removed", "removed", "replaced"]
    assert [bool(row.removed_at) for row in rows] == [True, True, False]


def test_two_nodes_that_start_at_once_make_the_tables_once(postgresql: PostgreSQL) -> None:
    databases = [Database(postgresql.new_database())]
    databases.append(Database(databases[0].engine.url.render_as_string(hide_password=False)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Database.migrate, databases))

    for database in databases:
        assert database.has_tables()
        database.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_times_come_from_the_clock_of_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AnHourAhead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(hours=1)

    monkeypatch.setattr("dicom_node.studies.ledger.locks.datetime", AnHourAhead)

    assert abs(database.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_indexes_of_due_work_can_be_taken_back_and_made_again(database: Database) -> None:
    def due_indexes() -> set[str | None]:
        inspector = inspect(database.engine)
        return {
            one["name"]
            for table in ("analyses", "deliveries")
            for one in inspector.get_indexes(table)
            if "told" in str(one["name"])
        }

    made = due_indexes()
    with database.engine.begin() as connection:
        command.downgrade(_alembic(connection), "0003")
    without = due_indexes()
    database.migrate()

    assert (len(made), without, due_indexes()) == (7, set(), made)


def test_states_of_deliveries_lead_back_and_forth_with_their_rows(database: Database) -> None:
    states = ("accepted", "confirmed", "committed", "held", "refused")
    with database.writing() as session:
        analysis = analysis_row(session, study_row(session, "1.2.3"))
        made = result_row(session, analysis)
        for number, state in enumerate(states):
            delivery = delivery_row(
                session, analysis, destination=str(number), state=DeliveryState(state)
            )
            row = DeliveryOutcome(delivery_id=delivery.id, result_object_id=made.id, at=NOW)
            row.outcome, row.status = {"held": "missing"}.get(state, state), ""
            session.add(row)

    def kept() -> list[list[str]]:
        with database.reading() as session:
            return [
                list(session.scalars(text(f"SELECT {column} FROM {table} ORDER BY id")))
                for table, column in (("deliveries", "state"), ("delivery_outcomes", "outcome"))
            ]

    with database.engine.begin() as connection:
        command.downgrade(_alembic(connection), "0008")
    former = kept()
    database.migrate()

    assert former == [
        ["delivered", "delivered", "delivered", "expired", "refused"],
        ["delivered", "delivered", "delivered", "postponed", "refused"],
    ]
    assert kept() == [
        ["accepted", "accepted", "accepted", "expired", "refused"],
        ["accepted", "accepted", "accepted", "postponed", "refused"],
    ]
