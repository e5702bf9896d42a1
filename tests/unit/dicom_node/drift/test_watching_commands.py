"""What people see of the model's monitoring: scanners, thresholds, replay, report, export."""

import csv
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import PATIENT_WORDS, Reception, analysis_row, study_row
from noted_year import enter_notes
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.monitoring.simulated_year import START, Change, Plan, observations
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.tables import MonitorNote, ReferenceReset
from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.own_spool import own_spool
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.manifest import read_manifest

Command = Callable[..., Result]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

SETTINGS = """
spool = "{spool}"
[ledger]
url = "{url}"
[bundles.second]
folder = "second"
"""


@pytest.fixture
def command(reception: Reception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line of a site whose scanner got new software after six weeks."""
    own_spool(reception.spool, reception.database)
    change = Change(week=6, flag_rate=0.4, software="2.0", pixels=2.0)
    plan = Plan(scanner="A", change=change)
    enter_notes(reception.database, islice(observations(plan, seed=5), 2400))
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file = tmp_path / "mammoclip.toml"
    file.write_text(SETTINGS.format(spool=reception.spool.root, url=url))
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    monkeypatch.setattr(Database, "now", lambda _: START + timedelta(weeks=13))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_flag_rates_are_shown_by_software_with_their_interval(command: Command) -> None:
    done = command("drift", "--days", 9999, "--json")

    old, new = json.loads(done.stdout)["equipment"]
    assert (old["equipment"], new["equipment"]) == ("Maker Model A 1.0", "Maker Model A 2.0")
    assert old["interval"][0] < 0.13 < old["interval"][1]
    assert new["interval"][0] < 0.40 < new["interval"][1]
    assert "Maker Model A 2.0" in command("drift", "--days", 9999).stdout


def test_pixels_are_shown_by_software_against_the_scanners_reference(command: Command) -> None:
    new = json.loads(command("drift", "--days", 9999, "--json").stdout)["equipment"][1]

    measured = {one["name"]: one for one in new["pixels"]}
    assert set(measured) == {"breast_share", "mean_grey", "noise"}
    assert measured["mean_grey"]["before"] == pytest.approx(0.40, abs=0.01)
    assert measured["mean_grey"]["now"] == pytest.approx(0.48, abs=0.01)
    assert measured["mean_grey"]["chance"] < 1e-9 < measured["breast_share"]["chance"]
    assert "noise in the breast" in command("drift", "--days", 9999).stdout
    assert command("drift", "--new-reference", "Maker Model A", "--reason", "x").exit_code == 0
    assert "is gathered" in command("drift", "--days", 9999).stdout


def test_new_reference_needs_a_reason_and_is_audited(
    command: Command, reception: Reception
) -> None:
    refused = command("drift", "--new-reference", "Maker Model A")
    done = command("drift", "--new-reference", "Maker Model A", "--reason", "new software")

    assert (refused.exit_code, done.exit_code) == (1, 0)
    (row,) = reception.rows(ReferenceReset)
    assert (row.scanner, row.reason) == ("Maker Model A", "new software")
    assert "new software" in command("audit", "show").stdout


def test_thresholds_are_proposed_accepted_and_withdrawn(
    command: Command, reception: Reception
) -> None:
    name = read_manifest(demonstration_bundle()).findings[0].name
    with reception.database.writing() as session:
        for row in session.query(MonitorNote):
            row.scores = row.scores.replace("cancer", name)
    wanted = ["--propose", "Maker Model A 2.0", "--reference", "Maker Model A 1.0"]

    proposed = command("thresholds", *wanted)
    assert proposed.exit_code == 0, proposed.output
    assert f"{name}: threshold" in proposed.stdout
    (one,) = json.loads(command("thresholds", "--json").stdout)["threshold_sets"]
    assert (one["state"], one["equipment"]) == ("proposed", "Maker Model A 2.0")
    assert "accepted" in command("thresholds", "--accept", one["number"]).stdout
    again = command("thresholds", "--accept", one["number"])
    assert (again.exit_code, "accepted already" in again.output) == (1, True)
    assert "withdrawn" in command("thresholds", "--withdraw", one["number"]).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--propose", "Maker Model A 2.0"], "needs --reference"),
        (["--propose", "Other", "--reference", "Maker Model A 1.0"], "no answer is of 'Other'"),
        (["--accept", "9"], "there is no threshold set 9"),
        (["--accept", "9", "--withdraw", "8"], "give one of"),
    ],
)
def test_thresholds_that_cannot_be_are_refused_in_one_line(
    command: Command, arguments: list[str], words: str
) -> None:
    done = command("thresholds", *arguments)

    assert (done.exit_code, words in done.output) == (1, True), done.output


def test_past_studies_are_replayed_in_shadow_once(command: Command, reception: Reception) -> None:
    with reception.database.writing() as session:
        due = analysis_row(session, study_row(session, "1.9"), id=10**6)
        removed = study_row(session, "1.10", removed_at=START)
        analysis_row(session, removed, id=10**6 + 1, state=AnalysisState.DONE)
        assert due.state is AnalysisState.DUE
    since = ["--since", (START + timedelta(weeks=11)).date()]

    first = command("replay", "--bundle", "second", *since)
    again = command("replay", "--bundle", "second", *since)
    unknown = command("replay", "--bundle", "third", *since)

    rows = reception.rows(ShadowAnalysis)
    assert first.stdout.startswith(f"{len(rows)} studies")
    assert again.stdout.startswith(f"{len(rows)} studies")
    assert 150 < len(rows) < 250, "those of the last week"
    assert {row.bundle for row in rows} == {"second"}
    assert not {row.analysis_id for row in rows} & {10**6, 10**6 + 1}
    assert (unknown.exit_code, "there is no bundle 'third'" in unknown.output) == (1, True)


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_report_has_twelve_metrics_and_the_inventory(
    command: Command, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"report{suffix}"
    done = command("report", "--out", out, "--since", "2026-02-16", "--until", "2026-03-30")

    assert done.exit_code == 0, done.output
    content = out.read_bytes()
    if suffix == ".pdf":
        assert content.startswith(b"%PDF-")
        return
    page = content.decode()
    assert all(f"<h2>{number}. " in page for number in range(1, 13))
    assert all(f"<td>{item}. " in page for item in "abcdefghij")
    assert "Maker Model A 2.0" in page
    assert "<script" not in page
    assert not any(word in page for word in PATIENT_WORDS)
    assert command("report", "--out", out).exit_code == 1, "nothing is overwritten"


def test_report_compares_with_truth_where_it_is_given(command: Command, tmp_path: Path) -> None:
    table = tmp_path / "truth.csv"
    table.write_text(
        "study_instance_uid,truth\n"
        + "".join(f"1.2.3.{number},{int(number % 50 == 0)}\n" for number in range(1, 200_000))
    )
    out = tmp_path / "report.html"

    done = command("report", "--out", out, "--since", "2026-01-05", "--truth", table)

    assert done.exit_code == 0, done.output
    assert "sensitivity" in out.read_text()
    table.write_text("a,b\n1,2\n")
    wrong = command("report", "--out", tmp_path / "x.html", "--since", "2026-01-05",
                    "--truth", table)  # fmt: skip
    assert (wrong.exit_code, "give a CSV" in wrong.output) == (1, True)


def test_export_names_nobody_and_starts_no_formula(
    command: Command, tmp_path: Path, reception: Reception
) -> None:
    with reception.database.writing() as session:
        session.query(MonitorNote).update({"manufacturer": "=1+1"})
    out = tmp_path / "export.csv"

    done = command("export", "--out", out, "--since", "2026-01-05")

    with out.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (done.exit_code, len(rows)) == (0, 2400)
    assert {row["manufacturer"] for row in rows} == {"'=1+1"}
    assert len({row["case"] for row in rows}) == 2400
    assert "1.2.3." not in out.read_text()
