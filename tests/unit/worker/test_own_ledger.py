"""A worker takes only messages that speak of its own ledger."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from dicom_node.studies.ledger.database import Database
from worker.queue.messages import UnwantedMessageError, WorkMessage, work_of
from worker.queue.own_ledger import LONGEST_WAIT_SECONDS, OwnLedger

OTHER = WorkMessage("worker.analyze", 1, "cd" * 16)


def ledger_in(folder: Path) -> tuple[str, str]:
    """Make a ledger and return its URL and identity."""
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    with closing(Database(url)) as database:
        database.migrate()
        return url, database.identity()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as found:
        yield found


def test_two_ledgers_have_two_identities(tmp_path: Path) -> None:
    identities = {ledger_in(tmp_path / name)[1] for name in "ab"}

    assert len(identities) == 2


def test_identity_outlives_a_restart_of_the_node(tmp_path: Path) -> None:
    assert ledger_in(tmp_path)[1] == ledger_in(tmp_path)[1]


def test_message_of_its_own_ledger_is_taken(tmp_path: Path, lines: list[Any]) -> None:
    url, identity = ledger_in(tmp_path)

    assert OwnLedger(url).is_named_by(WorkMessage("worker.analyze", 1, identity))
    assert not lines


def test_message_of_another_ledger_is_not_taken(tmp_path: Path, lines: list[Any]) -> None:
    url, _ = ledger_in(tmp_path)

    assert not OwnLedger(url).is_named_by(OTHER)
    (line,) = lines
    assert line["log_level"] == "error"
    assert "settings of the node that sends them" in line["reason"]


def test_worker_without_a_ledger_takes_none_and_says_what_to_do(
    tmp_path: Path, lines: list[Any]
) -> None:
    assert not OwnLedger(f"sqlite:///{tmp_path / 'none.sqlite'}").is_named_by(OTHER)
    assert "mammoclip-node serve" in lines[0]["reason"]
    assert not list(tmp_path.iterdir())


def test_ledger_that_does_not_answer_is_told_as_such(tmp_path: Path, lines: list[Any]) -> None:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"not a database, but long enough to be read as one" * 100)

    assert not OwnLedger(f"sqlite:///{file}").is_named_by(OTHER)
    assert "the ledger does not answer" in lines[0]["reason"]


def test_ledger_that_is_there_again_is_found(tmp_path: Path, lines: list[Any]) -> None:
    ledger = OwnLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    assert not ledger.is_named_by(OTHER)

    _, identity = ledger_in(tmp_path)

    assert ledger.is_named_by(WorkMessage("worker.deliver", 7, identity))
    assert len(lines) == 1


def test_worker_waits_longer_with_each_foreign_message_until_one_is_its_own(
    tmp_path: Path, lines: list[Any]
) -> None:
    url, identity = ledger_in(tmp_path)
    ledger = OwnLedger(url)
    waits = []
    for _ in range(20):
        ledger.is_named_by(OTHER)
        waits.append(ledger.wait_seconds)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1.0, LONGEST_WAIT_SECONDS)
    assert len(lines) == 20

    ledger.is_named_by(WorkMessage("worker.analyze", 1, identity))
    ledger.is_named_by(OTHER)

    assert ledger.wait_seconds == 1.0


def test_message_of_an_earlier_node_names_no_ledger_and_is_taken(tmp_path: Path) -> None:
    assert OwnLedger(ledger_in(tmp_path)[0]).is_named_by(WorkMessage("worker.analyze", 1))


@pytest.mark.parametrize("named", ["", 7, ["ab" * 16], "AB" * 16, "ab" * 15, "ab" * 16 + "\n"])
def test_what_is_no_identity_is_discarded(named: object) -> None:
    with pytest.raises(UnwantedMessageError, match="names no ledger"):
        work_of(
            {"task": "worker.analyze", "ledger": named},
            "[[1], {}, {}]",
            content_type="application/json",
            content_encoding="utf-8",
        )
