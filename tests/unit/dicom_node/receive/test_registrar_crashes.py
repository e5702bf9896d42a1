"""A registrar that was killed between two steps, and what the next one makes of it."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from node_factory import NOW, STUDY_UID, Reception, mammogram, put
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Transition

CONTENTS = {"mammogram": mammogram, "garbage": lambda: b"garbage"}


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class SpoolThatFailsToMove(Spool):
    """Cut off right before the move."""

    def file_away(self, receipt: Receipt, place: str) -> None:
        raise PowerCut


class SpoolThatFailsAfterMoving(Spool):
    """Cut off right after the move."""

    def file_away(self, receipt: Receipt, place: str) -> None:
        super().file_away(receipt, place)
        raise PowerCut


class SpoolThatFailsToDrop(Spool):
    """Cut off before a repeated object is deleted."""

    def drop(self, receipt: Receipt) -> None:
        raise PowerCut


def stopped_clock() -> datetime:
    return NOW


def outcome(reception: Reception) -> dict[str, Any]:
    """Return what is left when all is done, without names that differ from run to run."""
    return {
        "rows": [(row.state, row.reason, row.study_id) for row in reception.instances()],
        "present": [reception.spool.file(row.place).is_file() for row in reception.instances()],
        "incoming": len(reception.files("incoming")),
        "partial": len(reception.files("partial")),
        "history": [(row.subject, row.event) for row in reception.rows(Transition)],
    }


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("cut", [SpoolThatFailsToMove, SpoolThatFailsAfterMoving])
def test_registrar_killed_around_the_move_ends_like_one_that_was_not(
    reception: Reception, content: str, cut: type[Spool]
) -> None:
    put(reception.spool, CONTENTS[content]())
    doomed = Registrar(
        cut(reception.spool.root), reception.database, ReceiveSettings(), clock=stopped_clock
    )
    with pytest.raises(PowerCut):
        doomed.register_all()

    reception.registrar.register_all()

    ended = InstanceState.REGISTERED if content == "mammogram" else InstanceState.SET_ASIDE
    found = outcome(reception)
    assert [row[0] for row in found["rows"]] == [ended]
    assert (found["present"], found["incoming"], found["partial"]) == ([True], 0, 0)
    events = [event for subject, event in found["history"] if subject == "instance"]
    assert events == (["new", "file"] if content == "mammogram" else ["new"])


def test_registrar_killed_before_the_ledger_wrote_starts_anew(reception: Reception) -> None:
    put(reception.spool, mammogram())

    def cut() -> datetime:
        raise PowerCut

    doomed = Registrar(reception.spool, reception.database, ReceiveSettings(), clock=cut)
    with pytest.raises(PowerCut):
        doomed.register_all()
    assert reception.instances() == []

    reception.registrar.register_all()

    assert outcome(reception)["rows"][0][0] is InstanceState.REGISTERED


def test_registrar_killed_before_it_dropped_a_repeated_object_drops_it(
    reception: Reception,
) -> None:
    dataset = mammogram()
    reception.receive(dataset)
    put(reception.spool, dataset)
    doomed = Registrar(
        SpoolThatFailsToDrop(reception.spool.root),
        reception.database,
        ReceiveSettings(),
        clock=stopped_clock,
    )
    with pytest.raises(PowerCut):
        doomed.register_all()

    reception.registrar.register_all()

    assert outcome(reception)["incoming"] == 0
    assert len(reception.instances()) == 1


def test_registering_twice_is_registering_once(reception: Reception) -> None:
    reception.receive(mammogram())
    before = outcome(reception)

    reception.registrar.finish_moves()
    reception.registrar.register_all()

    assert outcome(reception) == before


def test_file_that_is_lost_is_set_aside(reception: Reception) -> None:
    receipt = put(reception.spool, mammogram())
    doomed = Registrar(
        SpoolThatFailsToMove(reception.spool.root),
        reception.database,
        ReceiveSettings(),
        clock=stopped_clock,
    )
    with pytest.raises(PowerCut):
        doomed.register_all()
    reception.spool.incoming_file(receipt).unlink()

    reception.registrar.register_all()

    (row,) = reception.instances()
    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "file-lost")


def test_object_on_a_disk_that_is_away_is_registered_when_it_is_back(reception: Reception) -> None:
    put(reception.spool, mammogram())
    doomed = Registrar(
        SpoolThatFailsToMove(reception.spool.root),
        reception.database,
        ReceiveSettings(),
        clock=stopped_clock,
    )
    with pytest.raises(PowerCut):
        doomed.register_all()
    incoming = reception.spool.root / "incoming"
    away = incoming.rename(incoming.with_name("away"))

    reception.registrar.register_all()
    while_away = [row.state for row in reception.instances()]
    away.rename(incoming)
    reception.registrar.register_all()

    assert while_away == [InstanceState.RECEIVED]
    assert [row.state for row in reception.instances()] == [InstanceState.REGISTERED]


def broken_for(receipt: Receipt, error: Exception) -> type[Spool]:
    """Return a spool that fails for one receipt."""

    class Broken(Spool):
        def incoming_file(self, one: Receipt) -> Path:
            if one == receipt:
                raise error
            return super().incoming_file(one)

    return Broken


def test_object_that_breaks_the_registrar_does_not_keep_the_next_one_waiting(
    reception: Reception, log_lines: list[Any]
) -> None:
    poison = put(reception.spool, mammogram())
    put(reception.spool, mammogram())
    spool = broken_for(poison, ValueError("a bug"))(reception.spool.root)
    registrar = Registrar(spool, reception.database, ReceiveSettings(), clock=stopped_clock)

    registrar.register_all()
    registrar.register_all()

    assert [row.state for row in reception.instances()] == [InstanceState.REGISTERED]
    assert reception.spool.incoming() == [poison]
    assert [line["event"] for line in log_lines].count("registering_failed") == 1


def test_object_that_cannot_be_moved_does_not_keep_the_next_one_waiting(
    reception: Reception,
) -> None:
    class StuckOnce(Spool):
        stuck: Receipt | None = None

        def file_away(self, receipt: Receipt, place: str) -> None:
            self.stuck = self.stuck or receipt
            if receipt == self.stuck:
                raise PermissionError("the folder is another user's")
            super().file_away(receipt, place)

    stuck = StuckOnce(reception.spool.root)
    registrar = Registrar(stuck, reception.database, ReceiveSettings(), clock=stopped_clock)
    put(reception.spool, mammogram("CC"))
    registrar.register_all()
    put(reception.spool, mammogram("MLO"))

    with capture_logs() as lines:
        registrar.register_all()
        registrar.register_all()

    assert [row.state for row in reception.instances()] == [
        InstanceState.RECEIVED,
        InstanceState.REGISTERED,
    ]
    assert "moving_failed" not in [line["event"] for line in lines]  # it was told before


def test_object_that_breaks_the_registrar_does_not_keep_its_study_open(
    reception: Reception,
) -> None:
    poison = put(reception.spool, mammogram(), association="d" * 16)
    spool = broken_for(poison, ValueError("a bug"))(reception.spool.root)
    registrar = Registrar(spool, reception.database, ReceiveSettings(), clock=stopped_clock)
    (waiting,) = reception.registrar.waiting_objects()
    assert (waiting.association, waiting.study_instance_uid) == ("d" * 16, STUDY_UID)

    registrar.register_all()

    assert registrar.waiting_objects() == []


def test_ledger_that_is_down_ends_the_step_at_once(reception: Reception) -> None:
    first = put(reception.spool, mammogram())
    second = put(reception.spool, mammogram())
    spool = broken_for(first, OperationalError("", {}, Exception("down")))(reception.spool.root)
    registrar = Registrar(spool, reception.database, ReceiveSettings(), clock=stopped_clock)

    with pytest.raises(OperationalError):
        registrar.register_all()

    assert reception.spool.incoming() == [first, second]
