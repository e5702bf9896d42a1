"""The commands as a person types them; what they print, and with which exit status they end."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import (
    PATIENT_WORDS,
    STUDY_UID,
    Reception,
    analysis_row,
    delivery_row,
    finished,
    made_result,
    mammogram,
)
from sqlalchemy import update
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.settings.reading import default_settings_text, load_settings
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

SETTINGS = """
spool = "spool"
[ledger]
url = "{url}"
"""


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of an installation that is not serving: its ledger and spool."""
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(SETTINGS.format(url=url))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def one_line(result: Result) -> str:
    """Return the one line of an error; nothing went to standard output."""
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def settled(reception: Reception, state: AnalysisState) -> Analysis:
    reception.receive(mammogram())
    with reception.database.writing() as session:
        session.execute(update(Study).values(state=StudyState.SETTLED, revision=1))
        study = session.get_one(Study, 1)
        if state is not AnalysisState.DONE:
            return analysis_row(session, study, state=state, reason="broken")
        analysis = analysis_row(session, study)
        finished(session, analysis, made_result())
        analysis.findings = None
        return analysis


def test_init_writes_every_setting(tmp_path: Path) -> None:
    file = tmp_path / "new.toml"

    result = run("init", file)

    assert result.exit_code == 0
    assert file.read_text() == default_settings_text()


def test_init_enters_the_spool_it_is_given(tmp_path: Path) -> None:
    spool = tmp_path / 'images of the "archive"'

    result = run("init", tmp_path / "new.toml", "--spool", spool)

    assert result.exit_code == 0
    assert load_settings(tmp_path / "new.toml").spool == spool


def test_init_puts_no_images_among_the_settings_of_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = tmp_path / "system.toml"
    monkeypatch.setattr(
        "dicom_node.spool.files.private_files.create_private_file", lambda _path: written.open("xb")
    )

    result = run("init", "/etc/mammoclip/mammoclip.toml")

    assert result.exit_code == 0
    assert load_settings(written).spool == Path("/var/lib/mammoclip/spool")


def test_init_leaves_a_file_that_exists(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")

    line = one_line(run("init", file))

    assert line == f"mammoclip-node: {file} already exists and was not changed"
    assert file.read_text() == "mine"


def test_init_into_a_folder_that_is_not_there_fails_in_one_line(tmp_path: Path) -> None:
    assert "No such file or directory" in one_line(run("init", tmp_path / "absent" / "m.toml"))


COMMANDS = [
    ("check",),
    ("serve",),
    ("studies",),
    ("show", STUDY_UID),
    ("retry", STUDY_UID),
    ("cancel", STUDY_UID),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_without_settings_says_what_to_do(tmp_path: Path, command: tuple[str, ...]) -> None:
    line = one_line(run(*command, "--config", tmp_path / "absent.toml"))

    assert line.endswith("run 'mammoclip-node init' or set MAMMOCLIP_CONFIG")


@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_command_before_the_first_start_says_what_to_do(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "mammoclip.toml"
    file.write_text("")

    line = one_line(run(*command, "--config", file))

    assert "start 'mammoclip-node serve' to create them" in line
    assert list(tmp_path.rglob("*.sqlite")) == []


@pytest.mark.parametrize("command", COMMANDS[3:], ids=" ".join)
def test_command_on_an_unknown_study_fails_in_one_line(
    config: Path, command: tuple[str, ...]
) -> None:
    line = one_line(run(command[0], "9.9", "--config", config))

    assert line.startswith("mammoclip-node: study 9.9 is not in the ledger")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the other one is shared
@pytest.mark.parametrize("command", COMMANDS[2:], ids=" ".join)
def test_ledger_that_is_broken_fails_in_one_line(
    config: Path, reception: Reception, command: tuple[str, ...]
) -> None:
    settled(reception, AnalysisState.FAILED)
    with reception.database.engine.begin() as connection:
        for table in ("delivery_outcomes", "deliveries", "result_objects", "analyses"):
            connection.exec_driver_sql(f"DROP TABLE {table}")

    line = one_line(run(*command, "--config", config))

    assert line.startswith("mammoclip-node: the ledger does not answer: OperationalError.")


def test_studies_are_listed(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.FAILED)

    result = run("studies", "--config", config)

    assert result.exit_code == 0
    assert STUDY_UID in result.stdout
    assert "failed" in result.stdout
    assert "broken" in result.stdout


def test_objects_without_a_study_are_listed_with_their_sender(
    config: Path, reception: Reception
) -> None:
    reception.receive(b"garbage", calling_ae_title="ROOM7")

    result = run("studies", "--config", config)

    assert "missing-uid" in result.stdout
    assert "ROOM7" in result.stdout


def test_studies_are_told_as_json(config: Path, reception: Reception, tmp_path: Path) -> None:
    settled(reception, AnalysisState.FAILED)
    file = tmp_path / "studies.json"

    result = run("studies", "--config", config, "--json", "--json-out", file)

    document = json.loads(result.stdout)
    assert document["studies"][0]["study_instance_uid"] == STUDY_UID
    assert document["studies"][0]["condition"] == "failed"
    assert json.loads(file.read_text()) == document


def test_json_goes_to_a_file_beside_the_table(
    config: Path, reception: Reception, tmp_path: Path
) -> None:
    settled(reception, AnalysisState.FAILED)
    file = tmp_path / "studies.json"

    result = run("studies", "--config", config, "--json-out", file)

    assert "Studies" in result.stdout
    assert json.loads(file.read_text())["studies"][0]["condition"] == "failed"


@pytest.mark.parametrize("command", COMMANDS[2:4], ids=" ".join)
def test_file_that_cannot_be_written_fails_in_one_line(
    config: Path, reception: Reception, tmp_path: Path, command: tuple[str, ...]
) -> None:
    settled(reception, AnalysisState.FAILED)

    result = run(*command, "--config", config, "--json-out", tmp_path / "absent" / "x.json")

    assert "No such file or directory" in one_line(result)


def test_limit_is_how_many_are_listed(config: Path, reception: Reception) -> None:
    for number in range(3):
        reception.receive(mammogram(StudyInstanceUID=f"1.2.{number}"))

    result = run("studies", "--config", config, "--limit", 2, "--json")

    assert len(json.loads(result.stdout)["studies"]) == 2


def test_no_study_is_no_error(config: Path) -> None:
    result = run("studies", "--config", config, "--json")

    assert json.loads(result.stdout) == {
        "studies": [],
        "set_aside": [],
        "waiting": {"objects": 0, "oldest_received_at": ""},
        "failing": [],
        "paused": [],
    }


def test_study_is_shown_with_its_history(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.DONE)

    result = run("show", STUDY_UID, "--config", config)

    assert result.exit_code == 0
    for word in ("Instances", "LMLO", "Analyses", "Deliveries", "archive", "History", "claim"):
        assert word in result.stdout


def test_study_is_shown_as_json(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.DONE)

    document = json.loads(run("show", STUDY_UID, "--config", config, "--json").stdout)

    assert document["summary"]["condition"] == "held"  # its destination is not in the settings
    assert document["analyses"][0]["state"] == "done"
    assert document["history"][0]["event"] == "new"


def test_nothing_that_is_shown_names_the_patient(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.DONE)
    reception.receive(mammogram(without=["ViewPosition"]))

    text = run("show", STUDY_UID, "--config", config, "--json").stdout
    text += run("studies", "--config", config, "--json").stdout

    assert not [word for word in PATIENT_WORDS if word in text]


def test_settings_file_is_named_by_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(config))

    assert run("studies").exit_code == 0


def test_failed_study_is_tried_again(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.FAILED)

    result = run("retry", STUDY_UID, "--config", config)

    assert (result.exit_code, result.stdout) == (0, "analysis of revision 1 is due again\n")
    assert reception.rows(Analysis)[0].state is AnalysisState.DUE


def test_study_under_way_is_not_tried_again(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.RUNNING)

    line = one_line(run("retry", STUDY_UID, "--config", config))

    assert "nothing to retry" in line


def test_object_that_is_set_aside_does_not_keep_the_analysis_from_being_tried_again(
    config: Path, reception: Reception
) -> None:
    settled(reception, AnalysisState.FAILED)
    reception.receive(mammogram(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3"))

    result = run("retry", STUDY_UID, "--config", config)

    assert "(tomosynthesis) is registered again" in result.stdout
    assert "analysis of revision 1 is due again" in result.stdout


def test_object_that_was_set_aside_is_tried_again(config: Path, reception: Reception) -> None:
    reception.receive(mammogram(without=["ViewPosition"]))

    run("retry", STUDY_UID, "--config", config)
    reception.registrar.register_all()

    states = [row.state for row in reception.instances()]
    assert states == [InstanceState.TAKEN_BACK, InstanceState.SET_ASIDE]
    assert len(reception.files("set-aside")) == 1


def test_refused_delivery_is_tried_again(config: Path, reception: Reception) -> None:
    analysis = settled(reception, AnalysisState.DONE)
    with reception.database.writing() as session:
        session.execute(update(Delivery).values(state=DeliveryState.ACCEPTED))
        delivery_row(session, analysis, destination="research", state=DeliveryState.REFUSED)

    result = run("retry", STUDY_UID, "--config", config)

    assert result.stdout.splitlines()[0] == "delivery to research is due again"


def test_results_that_lack_what_their_destination_wants_are_made_anew(
    config: Path, reception: Reception
) -> None:
    settled(reception, AnalysisState.DONE)
    with config.open("a") as stream:
        stream.write('[[destinations]]\nname = "archive"\nae_title = "A"\nhost = "h"\n')
        stream.write('profile = "workstation"\n')
    with reception.database.writing() as session:
        session.execute(update(Delivery).values(state=DeliveryState.REFUSED))

    result = run("retry", STUDY_UID, "--config", config)

    assert result.stdout == "analysis of revision 2 is due\n"


def test_waiting_study_is_cancelled(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.DUE)

    result = run("cancel", STUDY_UID, "--config", config)

    assert (result.exit_code, result.stdout) == (0, "analysis of revision 1 is cancelled\n")


def test_study_that_ended_is_not_cancelled(config: Path, reception: Reception) -> None:
    settled(reception, AnalysisState.FAILED)

    assert "nothing to cancel" in one_line(run("cancel", STUDY_UID, "--config", config))


@pytest.mark.parametrize("command", ["", *(words[0] for words in COMMANDS), "init"])
def test_command_has_a_help_with_an_example(command: str) -> None:
    result = run(*filter(None, [command]), "--help")

    assert result.exit_code == 0
    assert "Example: mammoclip-node" in result.stdout or command == ""


def test_wrong_usage_is_exit_status_2() -> None:
    assert run("show").exit_code == 2
