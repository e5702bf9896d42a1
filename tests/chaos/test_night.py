"""After a bad night without anybody, every study is delivered once, or failed by its own fault."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from night import Night, Sender
from services import wait_for
from sqlalchemy import text

LONG = os.environ.get("MAMMOCLIP_CHAOS") == "long"
STUDIES = int(os.environ.get("MAMMOCLIP_CHAOS_STUDIES", "1000" if LONG else "8"))
POISON = {1: "unreadable", 3: "deadly"}
"""Studies of which nothing can be analysed, by their number."""

Fault = tuple[str, Callable[[], None]]

pytestmark = pytest.mark.timeout(4 * 3600 if LONG else 600)


@pytest.fixture
def night(tmp_path: Path, bundle: Path) -> Iterator[Night]:
    site = Night(tmp_path, bundle, maximum_attempts=4 if LONG else 3)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def faults_of(night: Night) -> list[Fault]:
    """Return what befalls the site, in turn; the first ones alone in the short form."""
    lasting = night.lasting
    short: list[Fault] = [
        ("kill -9 of the node", lambda: night.kill(night.node)),
        ("kill -9 of the worker", lambda: night.kill(night.worker)),
        ("garbage in the queues", night.poison_queue),
        ("broker wiped", night.wipe_broker),
        ("kill -9 of the delivering worker", lambda: night.kill(night.delivery)),
        ("ledger locked", lasting(2, night.ledger_locked)),
        ("archive away", lasting(3, lambda: night.away(night.archive))),
    ]
    if not LONG:
        return short
    whole = [
        *short,
        ("kill -9 of receiving processes", lambda: night.kill_child(night.node)),
        ("kill -9 of an analysing process", lambda: night.kill_child(night.worker)),
        ("kill -9 of sending processes", lambda: night.kill_child(night.delivery)),
        ("ledger locked for long", lasting(12, night.ledger_locked)),
        ("archive silent", lasting(15, lambda: night.silent(night.archive))),
        ("broker silent", lasting(8, lambda: night.silent(night.broker))),
        ("results cannot be written", lasting(8, lambda: night.closed("results"))),
        ("clock back an hour", lasting(8, night.clock_back)),
        ("archive away for long", lasting(30, lambda: night.away(night.archive))),
    ]
    if night.has_own_disk:
        whole.append(("disk full", lasting(8, night.disk_full)))
        whole.append(("studies cannot be written", lasting(8, lambda: night.closed("studies"))))
    return whole


def states(night: Night) -> dict[str, tuple[list[str], list[str]]]:
    """Return the states of analyses and deliveries of each study."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    query = (
        "SELECT s.study_instance_uid, a.state, d.state FROM studies s "
        "LEFT JOIN analyses a ON a.study_id = s.id LEFT JOIN deliveries d ON d.analysis_id = a.id"
    )
    with night._database() as database, database.reading() as session:
        for uid, analysis, delivery in session.execute(text(query)):
            analyses, deliveries = found.setdefault(uid, ([], []))
            analyses += [analysis] if analysis else []
            deliveries += [delivery] if delivery else []
    return found


def test_every_study_of_a_bad_night_is_delivered_once_or_failed_by_its_own_fault(
    night: Night,
) -> None:
    kinds = [POISON.get(number, "sound") for number in range(STUDIES)]
    sender = Sender(night.node_port, kinds, pause=1 if LONG else 0.2)
    began = time.monotonic()
    sender.start()
    befell: Counter[str] = Counter()
    while True:
        for name, fault in faults_of(night):
            fault()
            befell[name] += 1
            time.sleep(1)  # the night goes on a while between two of them
        if not sender.is_alive() or not LONG:
            break
    try:
        wait_for(lambda: not sender.is_alive(), seconds=120, what="all studies were taken")
        expected = {
            uid: (["done"], ["accepted"]) if kind == "sound" else (["failed"], [])
            for uid, kind in sender.sent.items()
        }
        wait_for(
            lambda: (
                Counter(map(str, states(night).values())) == Counter(map(str, expected.values()))
            ),
            seconds=1800 if LONG else 240,
            what="every study has ended",
        )
    finally:
        sender.is_over.set()
        counts = Counter(map(str, states(night).values()))
        seconds = time.monotonic() - began
        # Shown where a person asks for it: pytest -s.
        sys.stdout.write(f"{len(sender.sent)} studies in {seconds:.0f} s: {dict(counts)}\n")
        sys.stdout.write(f"befell: {dict(befell)}\n")
        sys.stdout.write(f"started again: {dict(Counter(night.started_again))}\n")

    assert states(night) == expected
    with night._database() as database, database.reading() as session:
        made = list(session.scalars(text("SELECT sop_instance_uid FROM result_objects")))
    held = [
        one["MainDicomTags"]["SOPInstanceUID"] for one in night.archive.get("/instances?expand")
    ]
    assert len(made) == kinds.count("sound")
    assert sorted(held) == sorted(made)
