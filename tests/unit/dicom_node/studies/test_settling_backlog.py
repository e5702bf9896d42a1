"""Studies that are open keep no new one waiting, however many they are."""

from datetime import timedelta

import pytest
from node_factory import after, study_row
from sqlalchemy import event

from dicom_node.studies import settling
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.settling import Patience, SettlingRounds

PATIENCE = Patience(idle=timedelta(seconds=60), grace=timedelta(seconds=5))


@pytest.fixture
def many(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Seventeen open studies, of which a look reads four; a higher number came later."""
    monkeypatch.setattr(settling.quiet_studies, "__kwdefaults__", {"limit": 4, "after": None})
    monkeypatch.setattr(settling, "PORTION", 4)
    with database.writing() as session:
        for number in range(1, 18):
            study_row(
                session, f"1.2.{number}", state=StudyState.OPEN, last_received_at=after(number // 3)
            )
    return database


def look(database: Database, rounds: SettlingRounds) -> list[int]:
    with database.reading() as session:
        return rounds.next_portion(session, patience=PATIENCE, at=after(600))


def test_each_look_takes_the_newest_and_goes_on_among_the_others(many: Database) -> None:
    rounds = SettlingRounds()

    looks = [look(many, rounds) for _ in range(5)]

    newest = [17, 16, 15, 14]
    assert looks == [
        [*newest, 13, 12, 11, 10],
        [*newest, 9, 8, 7, 6],
        [*newest, 5, 4, 3, 2],
        [*newest, 1],
        [*newest, 13, 12, 11, 10],
    ]


def test_study_that_comes_during_the_rounds_is_looked_at_next(many: Database) -> None:
    rounds = SettlingRounds()
    for _ in range(2):
        look(many, rounds)
    with many.writing() as session:
        new = study_row(session, "1.3", state=StudyState.OPEN, last_received_at=after(500)).id

    assert look(many, rounds)[0] == new


def test_open_studies_are_found_by_index(database: Database) -> None:
    asked: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, parameters: object, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.reading() as session:
        settling.quiet_studies(session, patience=PATIENCE, at=after(9), after=(after(1), 3))
    event.remove(database.engine, "before_cursor_execute", note)

    is_sqlite = database.engine.dialect.name == "sqlite"
    statement, parameters = asked[-1]
    with database.engine.connect() as connection:
        if not is_sqlite:  # on a table without rows anything else would be as good
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        plan = connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
        words = "\n".join(str(row) for row in plan)
    assert "ix_studies_open" in words
    assert "TEMP B-TREE" not in words
