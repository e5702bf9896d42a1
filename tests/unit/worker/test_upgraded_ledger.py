"""The node is upgraded beside a worker of this release: what the worker has, others do again."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Reject
from sqlalchemy import text
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.studies.ledger.schema import SCHEMA
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, ResultObject
from worker import tasks
from worker.queue.messages import WorkMessage
from worker.queue.own_ledger import OwnLedger
from worker.runtime import Runtime


def upgrade(node: Runtime, schema: str = "9999") -> None:
    with node.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{schema}'"))


def test_worker_that_is_amid_an_analysis_writes_nothing_more_and_says_why(
    node: Runtime, reception: Reception, log_lines: list[Any]
) -> None:
    reception.receive(shown_mammogram())
    node.engine.meanwhile = lambda: upgrade(node)

    run_analysis(node, due_analysis(reception))

    (row,) = reception.rows(Analysis)
    assert (row.state, row.findings) == (AnalysisState.RUNNING, None)
    assert reception.rows(ResultObject) == []
    told = [one["reason"] for one in log_lines if one["event"] == "site_fault"]
    assert len(told) == 1
    assert "older than the node that made the ledger" in told[0]


def test_worker_that_is_told_of_work_in_an_upgraded_ledger_leaves_it_in_the_queue(
    node: Runtime,
    reception: Reception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_lines: list[Any],
) -> None:
    file = tmp_path / "mammoclip.toml"
    file.write_text('spool = "spool"\n')
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    reception.receive(shown_mammogram())
    due = due_analysis(reception)
    monkeypatch.setattr(tasks, "runtime", lambda: node)
    monkeypatch.setattr(node.site, "sleep", lambda _: None)
    upgrade(node)

    hours = itertools.count(1)
    monkeypatch.setattr(node.site, "clock", lambda: 3600.0 * next(hours))
    for _ in range(3):
        with pytest.raises(Reject) as put_back:
            tasks.analyze(due)
        assert put_back.value.requeue
    told = [one["event"] for one in log_lines]
    assert (told.count("site_fault"), told.count("site_fault_ended")) == (1, 0)
    assert reception.rows(Analysis)[0].state is AnalysisState.DUE

    upgrade(node, SCHEMA)
    tasks.analyze(due)
    assert reception.rows(Analysis)[0].state is AnalysisState.DONE
    assert [one["event"] for one in log_lines].count("site_fault_ended") == 1


def test_worker_that_starts_beside_an_upgraded_node_says_so_at_its_first_message(
    node: Runtime, log_lines: list[Any]
) -> None:
    name = node.database.name_in_messages()
    upgrade(node)

    message = WorkMessage("worker.analyze", 1, name)
    assert not OwnLedger(node.settings.ledger_url).is_named_by(message)
    (line,) = log_lines
    assert line["event"] == "ledger_of_another_version"
    assert "older than the node that made the ledger" in line["reason"]


def test_messages_that_the_former_release_left_in_the_queue_are_taken(node: Runtime) -> None:
    ledger = OwnLedger(node.settings.ledger_url)

    for name in (node.database.identity(), node.database.name_in_messages()):
        assert ledger.is_named_by(WorkMessage("worker.analyze", 1, name))
