"""Notes of answers that are committed in another order than they took their numbers."""

from datetime import UTC
from itertools import islice
from typing import Any

import pytest
from node_factory import Reception
from noted_year import enter_notes
from sqlalchemy import insert

from dicom_node.drift import rounds as module
from dicom_node.drift.rounds import DriftRounds
from dicom_node.monitoring.simulated_year import Plan, observations
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.tables import MonitorNote


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_answer_whose_note_is_committed_after_a_later_one_is_looked_at_once(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = reception.database
    seen = list(islice(observations(Plan(scanner="A"), seed=5), 3))
    enter_notes(database, seen)
    monkeypatch.setattr(Database, "now", lambda _: seen[-1].at)
    columns = [one.name for one in MonitorNote.__table__.columns]
    entered: list[dict[str, Any]] = [
        {name: getattr(row, name) for name in columns} for row in reception.rows(MonitorNote)
    ]
    with database.writing() as session:
        session.query(MonitorNote).delete()
    looked_at: list[int] = []
    observed = module.observation_of

    def observing(note: MonitorNote, **how: Any) -> Any:
        looked_at.append(note.id)
        return observed(note, **how)

    monkeypatch.setattr(module, "observation_of", observing)
    watch = DriftRounds(settings=Settings(spool=reception.spool.root), database=database, zone=UTC)

    first, second, third = entered
    with database.writing() as slow:
        slow.execute(insert(MonitorNote).values(first))
        with database.writing() as quick:
            quick.execute(insert(MonitorNote).values(second))
        watch.step()
    with database.writing() as session:
        session.execute(insert(MonitorNote).values(third))
    watch.step()
    watch.step()

    assert looked_at == [second["id"], first["id"], third["id"]]
