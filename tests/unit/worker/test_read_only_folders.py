"""Folders that turn read-only in the middle of work: afterwards all goes on without a person."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from test_delivery_tasks import Archive, archive, delivering, make_due
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.studies.ledger.due import work
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject
from worker import unfinished
from worker.analyze import analysis as analysis_module
from worker.deliver.delivery import attempt_delivery
from worker.runtime import Runtime

__all__ = ["archive", "delivering"]


class Ledger:
    """The file of a ledger, which a test lets nobody write."""

    def __init__(self, node: Runtime) -> None:
        self._is_closed = False
        event.listen(node.database.engine, "before_cursor_execute", self._before)

    def close(self) -> None:
        self._is_closed = True

    def open(self) -> None:
        self._is_closed = False

    def _before(self, _connection: Any, cursor: Any, *_: Any) -> None:
        # SQLite then answers as for a file that it may not write, which root always may.
        cursor.execute(f"PRAGMA query_only = {'ON' if self._is_closed else 'OFF'}")


class Folder:
    """A folder of the spool, which a test lets nobody write."""

    def __init__(self, place: Path, aside: Path) -> None:
        self._place, self._aside = place, aside

    def close(self) -> None:
        # In the place of a closed folder, which root may write to nevertheless.
        self._place.rename(self._aside)
        self._place.symlink_to("/proc/self")

    def open(self) -> None:
        self._place.unlink()
        self._aside.rename(self._place)


@pytest.fixture(params=["partial", "results", "ledger"])
def closing(
    request: pytest.FixtureRequest, node: Runtime, tmp_path: Path
) -> Iterator[Ledger | Folder]:
    if request.param == "ledger":
        yield Ledger(node)
        return
    yield Folder(node.spool.root / request.param, tmp_path / "aside")


@pytest.mark.parametrize("stage", ["model", "results"])
def test_folder_that_turns_read_only_during_an_analysis_uses_up_no_attempt(
    node: Runtime,
    reception: Reception,
    closing: Ledger | Folder,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    reception.receive(shown_mammogram())
    analysis_id = due_analysis(reception)
    closed: list[str] = []

    def close() -> None:
        if not closed:
            closed.append(stage)
            closing.close()

    def open_ledger(_seconds: float) -> None:
        closing.open()

    if isinstance(closing, Ledger):
        monkeypatch.setattr(unfinished, "sleep", open_ledger)
    results = analysis_module._results

    def results_of(*arguments: Any, **named: Any) -> Any:
        close()
        return results(*arguments, **named)

    node.engine.meanwhile = close if stage == "model" else lambda: None
    monkeypatch.setattr(analysis_module, "_results", results_of)

    first = run_analysis(node, analysis_id)

    assert (first.state, first.attempts) == (AnalysisState.DUE, 0), first.reason
    assert closed == [stage]
    if isinstance(closing, Folder):
        closing.open()
    with node.database.writing() as session:
        session.execute(update(Analysis).values(due_at=datetime.now(UTC)))
    second = run_analysis(node, analysis_id)
    assert (second.state, second.attempts) == (AnalysisState.DONE, 1)


@pytest.mark.parametrize("folder", ["results", "ledger"])
def test_folder_that_turns_read_only_during_a_delivery_loses_no_object(
    delivering: Runtime, archive: Archive, reception: Reception, tmp_path: Path, folder: str
) -> None:
    archive.start()
    with delivering.spool.owned():  # a node marks the folders
        pass
    closing: Ledger | Folder
    if folder == "ledger":
        closing = Ledger(delivering)
    else:
        closing = Folder(delivering.spool.root / folder, tmp_path / "aside")
    closed: list[str] = []

    def close() -> None:
        if not closed:
            closed.append(folder)
            closing.close()

    archive.meanwhile = close
    attempt_delivery(delivering, 1)
    closing.open()

    with delivering.database.writing() as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        work.recover_lost(session, Delivery, maximum_attempts=1, at=later)
    make_due(delivering)
    attempt_delivery(delivering, 1)

    (delivery,) = reception.rows(Delivery)
    assert delivery.state is DeliveryState.ACCEPTED
    assert set(archive.received) == {row.sop_instance_uid for row in reception.rows(ResultObject)}
