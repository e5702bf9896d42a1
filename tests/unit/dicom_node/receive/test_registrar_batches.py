"""Objects that wait together are registered together; each of them is as safe as by itself."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_factory import NOW, SOMEBODY_ELSE, STUDY_UID, Reception, mammogram, put
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from dicom_node.receive.registration import registrar as registrar_module
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def put_studies(spool: Spool, studies: int, images: int = 4) -> list[Receipt]:
    return [
        put(spool, mammogram(StudyInstanceUID=f"{STUDY_UID}.{study}"))
        for study in range(studies)
        for _ in range(images)
    ]


@pytest.fixture
def flushes(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count what is flushed: folders of the spool, and transactions that wrote."""
    counts: Counter[str] = Counter()
    genuine = os.fsync

    def fsync(descriptor: int) -> None:
        counts[Path(f"/proc/self/fd/{descriptor}").readlink().parent.name] += 1
        genuine(descriptor)

    def on_commit(_connection: Any) -> None:
        counts["transactions"] += 1

    monkeypatch.setattr(os, "fsync", fsync)
    event.listen(reception.database.engine, "commit", on_commit)
    yield counts
    event.remove(reception.database.engine, "commit", on_commit)


def test_no_look_at_what_arrives_reads_all_that_was_ever_registered(reception: Reception) -> None:
    """By the index of states SQLite would, beside years of instances that are all registered."""
    looks: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        looks.setdefault(statement, values)

    event.listen(reception.database.engine, "before_cursor_execute", note)
    image = mammogram()
    reception.receive(image)
    reception.receive(image)  # and one that is compared with what is kept
    event.remove(reception.database.engine, "before_cursor_execute", note)

    by_state = []
    with reception.database.engine.connect() as connection:
        for statement, values in looks.items():
            if statement.startswith("SELECT") and InstanceState.REGISTERED.value in values:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                by_state += [line[-1] for line in plan if "ix_instances_state" in line[-1]]
    assert len(looks) > 10
    assert by_state == []


def test_study_of_many_objects_costs_the_flushes_of_one(
    reception: Reception, flushes: Counter[str]
) -> None:
    reception.receive(mammogram())  # makes the key, and the study's folder
    for _ in range(8):
        put(reception.spool, mammogram())
    flushes.clear()

    reception.registrar.register_all()

    assert len(reception.instances()) == 9
    # Two transactions, and twice a folder: the study's and incoming.
    assert flushes == {"transactions": 2, "studies": 1, "spool": 1}


def test_more_objects_than_a_batch_are_all_registered(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar_module, "_BATCH", 3)
    put_studies(reception.spool, 3)

    assert reception.registrar.register_all() == 12

    assert Counter(row.state for row in reception.instances()) == {InstanceState.REGISTERED: 12}
    assert len(reception.rows(Study)) == 3


def test_batch_of_every_kind_ends_as_if_one_by_one(reception: Reception) -> None:
    repeated = mammogram()
    put(reception.spool, repeated)
    put(reception.spool, b"garbage")
    put(reception.spool, repeated)
    put(reception.spool, mammogram(**SOMEBODY_ELSE))
    put(reception.spool, mammogram(without=["ViewPosition"]))
    put(reception.spool, b"garbage")
    put(reception.spool, mammogram())

    reception.registrar.register_all()

    assert [(row.state.value, row.reason) for row in reception.instances()] == [
        ("registered", ""),
        ("set_aside", "missing-uid"),
        ("set_aside", "two-patients"),
        ("set_aside", "no-view"),
        ("registered", ""),
    ]
    assert reception.files("incoming") == []


def test_ledger_that_refuses_one_of_a_batch_takes_the_others(
    reception: Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts = put_studies(reception.spool, 2)
    poison = str(receipts[2])
    genuine = registrar_module.enter

    def enter(session: Any, arrival: Any, *rest: Any, **known: Any) -> Any:
        if arrival.receipt == poison:
            raise IntegrityError("", {}, Exception("a bug"))
        return genuine(session, arrival, *rest, **known)

    monkeypatch.setattr(registrar_module, "enter", enter)
    registrar = reception.registrar
    registrar.register_all()

    assert reception.spool.incoming() == [receipts[2]]
    assert len(reception.instances()) == 7

    monkeypatch.undo()
    registrar.register_all()

    assert len(reception.instances()) == 8


@pytest.mark.parametrize("killed_at", range(9))
def test_registrar_killed_in_a_batch_goes_on_where_it_was(
    reception: Reception, killed_at: int
) -> None:
    class Doomed(Spool):
        moves = 0

        def file_away(self, receipt: Receipt, place: str) -> None:
            if self.moves == killed_at:
                raise PowerCut
            self.moves += 1
            super().file_away(receipt, place)

        def _flush_moves(self) -> None:
            if self.moves == killed_at == 8:
                raise PowerCut
            super()._flush_moves()

    put_studies(reception.spool, 2)
    doomed = Registrar(
        Doomed(reception.spool.root), reception.database, ReceiveSettings(), clock=lambda: NOW
    )
    with pytest.raises(PowerCut):
        doomed.register_all()

    reception.registrar.register_all()

    rows: list[Instance] = reception.instances()
    assert [row.state for row in rows] == [InstanceState.REGISTERED] * 8
    assert all(reception.spool.file(row.place).is_file() for row in rows)
    assert reception.files("incoming") == []
