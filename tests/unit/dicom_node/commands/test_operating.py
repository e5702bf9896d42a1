"""Priority, pause and resume as a person types them."""

import getpass
import json
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import (
    LEASE,
    STUDY_UID,
    Reception,
    after,
    analysis_row,
    delivery_row,
    four_views,
    study_row,
)
from ports import free_port
from sqlalchemy import select
from typer.testing import CliRunner

from dicom_node.commands.local_times import local_time
from dicom_node.commands.node import app
from dicom_node.routing.route import Recipient, Route
from dicom_node.studies.ledger import shadows
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

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


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of a site whose ledger has a study that is due and one that is sent."""
    with reception.database.writing() as session:
        analysis_row(session, study_row(session, calling_ae_title="ROOM1"))
        done = analysis_row(session, study_row(session, "1.3"), state=AnalysisState.DONE)
        delivery_row(session, done, state=DeliveryState.EXPIRED)
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(SETTINGS.format(url=url))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_priority_of_one_study_is_raised_with_its_analysis(
    config: Path, reception: Reception
) -> None:
    done = run("priority", STUDY_UID, "stat", "--config", config)

    assert (done.exit_code, done.stdout) == (0, f"study {STUDY_UID} is stat\n")
    assert [one.priority for one in reception.rows(Analysis)] == [2, 1]
    listed = json.loads(run("studies", "--json", "--config", config).stdout)["studies"]
    assert {one["study_instance_uid"]: one["priority"] for one in listed} == {
        STUDY_UID: "stat",
        "1.3": "routine",
    }


def test_priority_of_a_study_is_that_of_its_deliveries_too(
    config: Path, reception: Reception
) -> None:
    run("priority", "1.3", "off-peak", "--config", config)

    assert [one.priority for one in reception.rows(Delivery)] == [0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["priority", STUDY_UID, "soon"], "choose stat, routine or off-peak"),
        (["priority", "9.9", "stat"], "not in the ledger"),
        (
            ["pause", "everything"],
            "choose node, worker, results, sender AE-TITLE or destination NAME",
        ),
        (["pause", "sender"], "name the sender"),
        (["pause", "node", "ROOM1"], "node takes no name"),
        (["pause", "sender", "A" * 17], "too long"),
        (["pause", "destination", "elsewhere"], "there are: archive, second"),
        (["resume", "node"], "node is not paused; paused are: none"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    config: Path, arguments: list[str], words: str
) -> None:
    done = run(*arguments, "--config", config)

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert words in line


def test_retry_goes_by_the_rules_of_now_and_the_bundle_of_choice(
    config: Path, reception: Reception
) -> None:
    for dataset in four_views(StudyInstanceUID="1.4"):
        reception.receive(dataset)
    with reception.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == "1.4")).one()
        study.state = StudyState.SETTLED
    text = config.read_text()
    rules = '[bundles.third]\nfolder = "third"\n[[rules]]\nname = "it"\nwhen = "complete"\n'

    config.write_text(f'{text}{rules}refuse = "not today"\n')
    refused = run("retry", "1.4", "--config", config)
    config.write_text(f'{text}{rules}destinations = ["second"]\n')
    unknown = run("retry", "1.4", "--bundle", "fourth", "--config", config)
    done = run("retry", "1.4", "--bundle", "third", "--config", config)

    assert "not analysed by rule it: not today" in refused.stderr
    assert "there is no bundle fourth in the settings" in unknown.stderr
    assert done.exit_code == 0, done.output
    analysis = reception.rows(Analysis)[-1]
    assert Route.from_json(analysis.rule, analysis.route) == Route(
        rule="it", bundle="third", recipients=(Recipient("second"),)
    )


def test_answers_in_shadow_are_compared_in_a_table(config: Path, reception: Reception) -> None:
    finding = {"name": "mass", "score": 0.25, "above_threshold": False, "regions": []}
    names = ("sop_instance_uid", "laterality", "view_position", "status", "reason")
    image = {**dict.fromkeys(names, "x"), "findings": [finding]}
    document = {"bundle": {"name": "b", "version": "1"}, "images": [image]}
    with reception.database.writing() as session:
        analysis = session.scalars(select(Analysis).order_by(Analysis.id.desc())).first()
        assert analysis is not None
        analysis.findings = json.dumps(document).replace("0.25", "0.75")
        shadows.begin_shadows(session, analysis.id, ["third", "fourth"], at=after(0))
        held = shadows.claim_shadow(
            session, analysis.id, holder="x", lease=LEASE, maximum_attempts=4, at=after(0)
        )
        assert held is not None
        shadows.finish_shadow(
            session, held, findings=json.dumps(document), answered_by="third 1", at=after(1)
        )

    table = run("shadow", "--config", config).stdout
    shown = run("show", "1.3", "--config", config).stdout
    answers = json.loads(run("shadow", "--json", "--config", config).stdout)["answers"]

    assert "-0.500" in table
    assert "1 of 1" in table
    assert "third 1" in shown
    assert [(one["bundle"], one["state"], one["difference"]) for one in answers] == [
        ("fourth", "due", None),
        ("third", "done", -0.5),
    ]


def test_pause_is_shown_by_every_command_that_speaks_of_work(config: Path) -> None:
    paused = run("pause", "destination", "archive", "--reason", "moving", "--config", config)
    assert paused.exit_code == 0
    words = paused.stdout.splitlines()[0]
    assert words.startswith(f"destination archive is paused by {getpass.getuser()} since ")
    assert words.endswith(": moving")

    for command in (["studies"], ["show", "1.3"], ["check"]):
        assert words in run(*command, "--config", config).stdout
    assert f"but {words}" in run("retry", "1.3", "--config", config).stdout
    for command in (["studies", "--json"], ["show", "1.3", "--json"]):
        (one,) = json.loads(run(*command, "--config", config).stdout)["paused"]
        assert (one["kind"], one["name"], one["reason"]) == ("destination", "archive", "moving")


def test_resume_says_what_is_still_paused(config: Path) -> None:
    run("pause", "worker", "--config", config)
    run("pause", "sender", "ROOM1", "--config", config)

    done = run("resume", "worker", "--config", config)

    assert done.stdout == "worker is resumed; still paused: sender ROOM1\n"
    assert "sender ROOM1 is paused" in run("show", STUDY_UID, "--config", config).stdout


def test_show_says_when_what_waits_is_tried(config: Path, reception: Reception) -> None:
    with reception.database.writing() as session:
        delivery_row(
            session, session.get_one(Analysis, 2), destination="second", due_at=after(3600)
        )

    shown = run("show", "1.3", "--config", config).stdout

    assert local_time(after(3600)) in shown


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_canary_names_the_phase_that_is_broken_and_check_says_so(config: Path) -> None:
    with config.open("a") as stream:
        stream.write(f"[receive]\nport = {free_port()}\n[canary]\nport = {free_port()}\n")

    done = run("canary", "--config", config)

    assert done.exit_code == 1
    prepared, broken = done.stdout.splitlines()
    assert prepared.startswith("ok    prepare: ")
    assert broken.startswith("FAIL  receive: listener at 127.0.0.1:")
    (line,) = [
        line for line in run("check", "--config", config).stdout.splitlines() if "canary:" in line
    ]
    assert line.startswith("WARN  canary: 0 min ")
    assert "phase receive was broken" in line
