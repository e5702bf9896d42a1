"""Rows P3, P16: a node that is killed at any point finishes each workitem once, and loses none."""

import json
import os
import sys
from collections.abc import Iterator
from subprocess import PIPE, Popen
from typing import Any

import killed_performer
import pytest
from killed_performer import KILLED
from started_processes import started_process
from worklist_double import Worklist, value
from worklist_site import STUDY, Site, item, uid

from dicom_node.studies.ledger.tables import Analysis

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

FEW = range(4, 17, 6)
ALL = range(1, 30)
ON_THE_WAY = 16
"""Points that every performer reaches on its way through one workitem."""


class Performers:
    """The program that starts performers."""

    def __init__(self, process: "Popen[str]") -> None:
        self._process = process

    def run(self, site: Site, *, kill_at: int = 0) -> int:
        """Run one performer to its end, and return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([site.values, kill_at]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def performers() -> Iterator[Performers]:
    command = [sys.executable, killed_performer.__file__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with started_process(command, stdin=PIPE, stdout=PIPE, text=True, env=environment) as process:
        yield Performers(process)


def ended_once(site: Site, worklist: Worklist, state: str) -> None:
    """Every workitem has the state that is expected, told once; nothing is left open."""
    assert [worklist.state(one) for one in worklist.items] == [state] * len(worklist.items)
    assert worklist.endings == {(one, state): 1 for one in worklist.items}
    assert worklist.claims == dict.fromkeys(worklist.items, 1)
    assert {row.state for row in site.rows()} == {state.lower()}


@pytest.mark.parametrize("points", [FEW, pytest.param(ALL, marks=pytest.mark.long)])
def test_workitem_is_completed_once_wherever_the_node_is_killed(
    site: Site, worklist: Worklist, performers: Performers, points: range
) -> None:
    site.work()
    for number, kill_at in enumerate(points, 1):
        worklist.add(item(number))

        exit_code = performers.run(site, kill_at=kill_at)
        assert exit_code == KILLED or kill_at > ON_THE_WAY
        assert performers.run(site) == 0

        assert worklist.state(uid(number)) == "COMPLETED"

    ended_once(site, worklist, "COMPLETED")
    assert len(site.reception.rows(Analysis)) == 1, "no second answer"
    for one in worklist.items.values():
        assert value(one, "00741216.00404033.0020000D")


@pytest.mark.parametrize("points", [range(7, 8), pytest.param(ALL, marks=pytest.mark.long)])
def test_workitem_is_canceled_once_wherever_the_node_is_killed(
    site_with: Any, worklist: Worklist, performers: Performers, points: range
) -> None:
    site = site_with(inputs_within_seconds=0.000001)
    for number, kill_at in enumerate(points, 1):
        worklist.add(item(number))
        performers.run(site, kill_at=kill_at)
        assert performers.run(site) == 0

    ended_once(site, worklist, "CANCELED")


@pytest.mark.long
def test_workitem_goes_on_wherever_the_node_is_killed_while_it_tells_progress(
    site: Site, worklist: Worklist, performers: Performers
) -> None:
    for number, kill_at in enumerate(ALL, 1):
        study = f"{STUDY}.{number}"
        worklist.add(item(number, study))
        site.receive(study)
        site.settle(study)

        performers.run(site, kill_at=kill_at)
        assert performers.run(site) == 0
        assert worklist.progress[-1][2] == "waiting to be analysed"
        site.analyse(study)
        site.deliver(study)
        assert performers.run(site) == 0

    ended_once(site, worklist, "COMPLETED")
    assert len(site.reception.rows(Analysis)) == len(ALL)


def test_p16_workitem_that_is_held_goes_on_after_the_node_was_killed(
    site: Site, worklist: Worklist, performers: Performers
) -> None:
    worklist.add(item())
    assert performers.run(site) == 0
    assert worklist.state(uid()) == "IN PROGRESS"
    site.work()

    assert performers.run(site) == 0

    ended_once(site, worklist, "COMPLETED")
