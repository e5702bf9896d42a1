from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from node_factory import (
    FOR_PRESENTATION,
    Reception,
    analysis_row,
    delivery_row,
    finished,
    made_result,
    mammogram,
    study_row,
)
from sqlalchemy import text

from dicom_node.errors import LedgerError
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Base


def test_migrated_ledger_is_what_the_tables_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )

        differences = compare_metadata(context, Base.metadata)

    assert differences == []


def test_partial_indexes_are_made(database: Database) -> None:
    with database.reading() as session:
        query = text("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '%WHERE%'")
        made = "\n".join(session.scalars(query))

    assert "WHERE state != 'set_aside'" in made
    assert "WHERE state IN ('due', 'running')" in made


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()

    with database.reading() as session:
        assert list(session.scalars(text("SELECT version_num FROM alembic_version"))) == ["0001"]


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

    with pytest.raises(Exception, match="UNIQUE") as caught, database.writing() as session:
        study_row(session, "1.2.3", patient_digest="PatientID=feed")

    assert "feed" not in str(caught.value)
