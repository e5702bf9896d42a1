"""One line and one button for a destination, whatever waits for it."""

import getpass
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from node_factory import NOW, Reception, after, analysis_row, delivery_row, study_row
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.destinations.circuits import Circuit, circuits, note_failure
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery

SETTINGS = """
spool = "spool"
[ledger]
url = "{url}"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
[[destinations]]
name = "second"
ae_title = "SECOND"
host = "127.0.0.1"
"""
COUNT = 12
WHY = "archive at 127.0.0.1:104 does not answer."


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of a site with 12 deliveries due to archive, and one to second."""
    with reception.database.writing() as session:
        for number in range(COUNT):
            study = study_row(session, f"1.2.{number}")
            done = analysis_row(session, study, state=AnalysisState.DONE)
            delivery_row(session, done)
        delivery_row(session, done, destination="second")
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(SETTINGS.format(url=url))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def break_down(reception: Reception) -> None:
    with reception.database.writing() as session:
        for _ in range(3):
            note_failure(session, "archive", reason=WHY, policy=RetrySettings(), at=NOW)


def listed(config: Path) -> dict[str, Any]:
    done = run("destinations", "--json", "--config", config)
    assert done.exit_code == 0, done.output
    return {one["name"]: one for one in json.loads(done.stdout)["destinations"]}


def circuit(reception: Reception) -> Circuit | None:
    with reception.database.reading() as session:
        known = circuits(session, at=NOW).get("archive")
        return None if known is None else known.circuit


def test_destinations_are_listed_with_what_waits_and_why(
    config: Path, reception: Reception
) -> None:
    break_down(reception)

    found = listed(config)

    assert [(one["condition"], one["waiting"], one["reason"]) for one in found.values()] == [
        ("down", COUNT, WHY),
        ("ready", 1, ""),
    ]
    assert found["archive"]["since"].startswith("2026-03-04 09:30:00")
    table = run("destinations", "--config", config).stdout
    assert "down" in table
    assert f"{COUNT}" in table


def test_dead_archive_is_one_line_of_studies_show_and_check(
    config: Path, reception: Reception
) -> None:
    break_down(reception)

    for command in (["studies", "--limit", 200], ["show", "1.2.3"], ["check"]):
        output = run(*command, "--config", config).stdout
        (line,) = [one for one in output.splitlines() if "is down since" in one]
        assert WHY.rstrip(".") in line
        assert "12 deliveries wait for it." in line
        assert output.count(WHY.rstrip(".")) == 1
    studies = json.loads(run("studies", "--limit", 200, "--json", "--config", config).stdout)
    assert {one["reason"] for one in studies["studies"]} == {
        "archive: waits until the destination answers",
        "archive: waits until the destination answers; second: due since "
        "2026-03-04T09:30:00+00:00, and no worker has taken it: check that one is running",
    }
    assert len(studies["failing"]) == 1


def test_one_button_tries_the_destination_now(config: Path, reception: Reception) -> None:
    break_down(reception)
    with reception.database.writing() as session:
        for number, finished in enumerate((-60, 5, 5), start=1):
            row = session.get_one(Delivery, number)
            row.state, row.finished_at = DeliveryState.REFUSED, after(finished)
        session.get_one(Delivery, 4).due_at = after(10 * 365 * 86400)

    done = run("retry", "--destination", "archive", "--config", config)

    assert done.stdout == f"{COUNT - 1} deliveries to archive due now\n"
    assert circuit(reception) is Circuit.HALF_OPEN
    assert listed(config)["archive"]["condition"] == "trying"
    with reception.database.reading() as session:
        rows = [session.get_one(Delivery, number) for number in range(1, 5)]
        # The first was refused before the destination began to fail, by a fault of its own.
        assert [row.state for row in rows] == [DeliveryState.REFUSED] + [DeliveryState.DUE] * 3
        assert rows[3].due_at < after(365 * 86400)


def test_button_says_that_the_destination_is_paused(config: Path) -> None:
    run("pause", "destination", "second", "--reason", "moving", "--config", config)

    done = run("retry", "--destination", "second", "--config", config)

    first, but = done.stdout.splitlines()
    assert first == "1 delivery to second due now"
    assert but.startswith("but destination second is paused by")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry", "--destination", "nowhere"], "destination nowhere is not in the settings"),
        (["retry", "1.2.3", "--destination", "archive"], "name one study, or"),
        (["retry"], "name one study, or"),
    ],
)
def test_what_cannot_be_retried_is_said_in_one_line(
    config: Path, arguments: list[str], words: str
) -> None:
    done = run(*arguments, "--config", config)

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert words in line


def test_nothing_is_retried_where_nothing_waits(config: Path, reception: Reception) -> None:
    with reception.database.writing() as session:
        for row in session.query(Delivery).filter(Delivery.destination == "second"):
            session.delete(row)

    done = run("retry", "--destination", "second", "--config", config)

    assert "no delivery waits for destination second" in done.stderr


def test_deliveries_to_a_paused_destination_read_held_with_the_reason(config: Path) -> None:
    run("pause", "destination", "second", "--reason", "moving", "--config", config)

    last = f"1.2.{COUNT - 1}"
    rows = json.loads(run("show", last, "--json", "--config", config).stdout)["deliveries"]
    assert [(one["destination"], one["state"]) for one in rows] == [
        ("archive", "due"),
        ("second", "held"),
    ]
    assert rows[1]["reason"].startswith("destination second is paused by")
    assert rows[1]["reason"].endswith(": moving")
    assert listed(config)["second"]["condition"] == "held"

    run("pause", "destination", "archive", "--reason", "moving", "--config", config)
    held = json.loads(run("studies", "--json", "--config", config).stdout)["studies"]
    assert {one["condition"] for one in held} == {"held"}

    run("resume", "destination", "second", "--config", config)
    shown = json.loads(run("show", last, "--json", "--config", config).stdout)
    assert [one["state"] for one in shown["deliveries"]] == ["held", "due"]
    assert shown["summary"]["condition"] == "delivering"


@pytest.fixture
def renamed(config: Path) -> Path:
    """Return settings in which the destination archive has another name."""
    config.write_text(config.read_text().replace('"archive"', '"archive-2"'))
    return config


def test_removed_destination_is_asked_about(renamed: Path) -> None:
    words = "destination archive is not in the settings: enter it there again, or see"

    for command in (["studies"], ["show", "1.2.3"], ["check"]):
        output = run(*command, "--config", renamed).stdout
        (line,) = [one for one in output.splitlines() if "12 deliveries wait for it." in one]
        assert words in line
    assert listed(renamed)["archive"]["condition"] == "removed"
    shown = json.loads(run("show", "1.2.3", "--json", "--config", renamed).stdout)
    assert [one["state"] for one in shown["deliveries"]] == ["held"]
    assert shown["summary"]["condition"] == "held"


def test_deliveries_are_moved_to_the_new_name(renamed: Path, reception: Reception) -> None:
    reason = ["--reason", "renamed", "--config", renamed]

    done = run("move-deliveries", "archive", "archive-2", *reason)

    assert done.stdout == "moved from archive to archive-2: 12 deliveries\n"
    assert listed(renamed)["archive-2"]["waiting"] == COUNT
    assert "archive" not in listed(renamed)
    assert f"by {getpass.getuser()}: renamed" in run("show", "1.2.3", "--config", renamed).stdout
    again = run("move-deliveries", "archive", "archive-2", *reason)
    assert "no delivery waits for destination archive" in again.stderr


def test_deliveries_are_dropped_with_the_reason(renamed: Path) -> None:
    done = run("drop-deliveries", "archive", "--reason", "shut down", "--config", renamed)

    assert done.stdout == "given up: 12 deliveries to archive\n"
    shown = json.loads(run("show", "1.2.3", "--json", "--config", renamed).stdout)
    (row,) = shown["deliveries"]
    assert (row["state"], row["reason"]) == (
        "expired",
        f"dropped by {getpass.getuser()}: shut down",
    )


@pytest.fixture
def unproven(renamed: Path, reception: Reception) -> Path:
    """Return the settings where the old name has accepted one delivery and not proven it."""
    with reception.database.writing() as session:
        row = session.get_one(Delivery, 1)
        row.state, row.finished_at, row.proof_due_at = DeliveryState.ACCEPTED, NOW, NOW
    return renamed


def test_new_name_is_asked_for_what_the_old_one_has_not_proven(unproven: Path) -> None:
    move = ["move-deliveries", "archive", "archive-2", "--reason", "renamed", "--config", unproven]
    words = "is not in the settings: enter it there again"

    assert words in json.dumps(listed(unproven)["archive"])
    shown = json.loads(run("show", "1.2.0", "--json", "--config", unproven).stdout)
    assert shown["summary"]["condition"] == "delivered"
    assert words in shown["summary"]["reason"]

    assert run(*move).stdout == (
        "moved from archive to archive-2: 11 deliveries\n"
        "left as they are, accepted by archive and not proven: 1 delivery. archive-2 proves "
        'nothing (confirm = "none"): set confirm there and repeat this, or see '
        "'mammoclip-node drop-deliveries'\n"
    )
    text = unproven.read_text()
    unproven.write_text(text.replace('"archive-2"', '"archive-2"\nconfirm = "query"'))
    assert (
        run(*move).stdout == "accepted by archive, and archive-2 is asked to prove it: 1 delivery\n"
    )
    assert "archive" not in listed(unproven)


def test_proof_that_nobody_wants_any_more_is_dropped(unproven: Path) -> None:
    done = run("drop-deliveries", "archive", "--reason", "shut down", "--config", unproven)

    assert done.stdout == (
        "given up: 11 deliveries to archive\n"
        "accepted by archive, and no proof is wanted any more: 1 delivery\n"
    )
    assert "archive" not in listed(unproven)
    assert "shut down" in run("show", "1.2.0", "--config", unproven).stdout


def test_proof_of_a_destination_in_the_settings_is_neither_moved_nor_dropped(
    unproven: Path, reception: Reception
) -> None:
    unproven.write_text(unproven.read_text().replace('"archive-2"', '"archive"\nconfirm = "query"'))

    run("drop-deliveries", "archive", "--reason", "r", "--config", unproven)

    with reception.database.reading() as session:
        assert session.get_one(Delivery, 1).proof_due_at == NOW


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["move-deliveries", "archive", "nowhere", "--reason", "r"], "there are: second"),
        (["move-deliveries", "archive", "archive", "--reason", "r"], "no other destination"),
        (["move-deliveries", "archive", "second", "--reason", " "], "give a reason"),
        (["move-deliveries", "archive", "canary", "--reason", "r"], "no other destination"),
        (["move-deliveries", "canary", "second", "--reason", "r"], "a phantom's results"),
        (["drop-deliveries", "nowhere", "--reason", "r"], "no delivery waits for"),
    ],
)
def test_what_cannot_be_moved_or_dropped_is_said_in_one_line(
    config: Path, arguments: list[str], words: str
) -> None:
    done = run(*arguments, "--config", config)

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert words in line


def test_what_waits_for_the_node_itself_is_neither_held_nor_removed(
    config: Path, reception: Reception
) -> None:
    with reception.database.writing() as session:
        delivery_row(session, session.get_one(Analysis, 1), destination="canary")

    assert listed(config)["canary"]["condition"] == "ready"


def test_dry_destination_says_so(config: Path) -> None:
    config.write_text(config.read_text() + "dry = true\n")

    assert listed(config)["second"]["condition"] == "dry"
    assert "nothing is sent (dry = true)" in run("destinations", "--config", config).stdout
