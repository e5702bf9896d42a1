"""Canary studies that would be on their way at the same time, of one node or of several."""

import fcntl

from test_canary import PHASES, node, sent, worker
from worker_thread import Worker

from dicom_node.canary.alone import LOCK
from dicom_node.canary.receiver import receiving
from dicom_node.canary.run import run_canary
from dicom_node.settings.operation.canary import CanarySettings
from dicom_node.studies.ledger.canary_turns import take_turn
from worker.runtime import Runtime

__all__ = ["node", "worker"]

OTHER = "f" * 32
"""Identity of the spool of another node."""


def test_second_canary_study_at_once_says_so_and_is_no_fault(node: Runtime) -> None:
    node.database.migrate()
    node.settings.spool.mkdir(exist_ok=True)
    with (node.settings.spool / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        run = run_canary(node.settings, node.database)

    assert (run.broken, run.is_held) == ("", True)
    assert "another canary study is on its way" in run.reason


def test_canary_study_of_another_node_before_the_ledger_is_waited_for_and_is_no_fault(
    node: Runtime, worker: Worker
) -> None:
    with node.database.writing() as session:
        assert take_turn(session, OTHER, seconds=60)

    held = sent(node)

    assert (held.is_held, held.broken) == (True, "")
    assert held.reason == "prepare: the canary study of another node is on its way"
    with node.database.writing() as session:
        assert take_turn(session, OTHER, seconds=-1)  # as after it was killed
    assert not sent(node).broken
    with node.database.writing() as session:
        assert take_turn(session, OTHER, seconds=60), "this node's turn has ended"
        assert not take_turn(session, "2" * 32, seconds=60)
        assert take_turn(session, OTHER, seconds=400 * 86400)  # as while its clock was ahead
        assert take_turn(session, "2" * 32, seconds=60)


def test_other_node_waits_for_as_long_as_a_canary_study_takes(
    node: Runtime, worker: Worker
) -> None:
    could_begin = []

    def note(_: str) -> None:
        with node.database.writing() as session:
            could_begin.append(take_turn(session, OTHER, seconds=-1))

    run = run_canary(node.settings, node.database, note=note)

    assert not run.broken
    assert could_begin == [True] + [False] * (len(PHASES) - 1)


def test_two_nodes_of_one_machine_take_their_results_at_the_same_time() -> None:
    with (
        receiving(CanarySettings(), calling_ae_title="ONE") as one,
        receiving(CanarySettings(), calling_ae_title="OTHER") as other,
    ):
        assert 0 < one.port != other.port > 0
