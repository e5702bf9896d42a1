"""The figures for Prometheus: they are parsed, add up, name no patient, and are documented."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from documents import ROOT, table_after, text_of
from node_factory import (
    PATIENT_WORDS,
    STUDY_UID,
    Reception,
    analysis_row,
    delivery_row,
    mammogram,
    put,
    study_row,
)
from prometheus_client.parser import text_string_to_metric_families
from services import require_program
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.commands.observe.metrics import METRICS
from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.canary_runs import CanaryFacts, note_run
from dicom_node.studies.ledger.destinations.circuits import Circuit, note_failure
from dicom_node.studies.ledger.due.workers import note_end, note_worker
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.alarm_book import enter_alarm
from dicom_node.studies.ledger.monitoring.notes import AnswerNote, note_answer
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Study

PAGE = ROOT / "docs" / "monitoring.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
ALERT_TESTS = ALERTS.with_name("alerts_test.yaml")
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "node.json"
SETTINGS = """
spool = "{spool}"
[ledger]
url = "{url}"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
confirm = "query"
[[destinations]]
name = "second"
ae_title = "SECOND"
host = "127.0.0.1"
"""

Values = dict[tuple[str, tuple[str, ...]], float]

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def config(tmp_path: Path, reception: Reception) -> Path:
    """Return the settings of a site in which something of everything is there."""
    reception.receive(mammogram())
    reception.receive(mammogram(without=["ImageLaterality"]))
    put(reception.spool, mammogram())
    with reception.database.writing() as session:
        now = database_time(session)
        analysis_row(session, study_row(session, "1.3"), created_at=now - timedelta(hours=2))
        ended = {"state": AnalysisState.DONE}
        done = analysis_row(session, study_row(session, "1.4"), **ended)
        scores = {"mass": (0.9, True)}
        equipment = Fingerprint("Maker", "Model", "7")
        note = AnswerNote(
            equipment=equipment,
            scores=scores,
            views={},
            images=4,
            left_out=0,
            pixels={"noise": 0.01},
        )
        session.get_one(Study, done.study_id).first_received_at = now - timedelta(hours=1)
        note_answer(session, done.id, note, at=now)
        alarm = Alarm(scanner="Maker Model 7", kind=Kind.SILENCE, at=now, detail="silent")
        enter_alarm(session, alarm, noticed_at=now)
        delivery_row(session, done, state=DeliveryState.CONFIRMED)
        accepted = {"state": DeliveryState.ACCEPTED, "finished_at": now - timedelta(hours=3)}
        for number, proof in enumerate(
            (
                {"proof_due_at": now},
                {"reason": "never proven: no answer"},
                {"reason": "not asked for any more: superseded"},
            )
        ):
            study = study_row(session, f"1.5.{number}")
            delivery_row(session, analysis_row(session, study, **ended), **accepted, **proof)
        policy = RetrySettings(breaker_failures=1)
        note_failure(session, "archive", reason="no association", policy=policy, at=now)
        for name, queue in (("gpu@host", "gpu"), ('old@"host"', "gpu")):
            note_worker(session, name, name=name, queues=[queue], processes=1, version="0.1.0")
        note_end(session, 'old@"host"')
        run = CanaryFacts(
            began_at=now - timedelta(minutes=5), seconds={}, broken="deliver", reason="no answer"
        )
        note_run(session, run, key="", scores="")
    file = tmp_path / "mammoclip.toml"
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file.write_text(SETTINGS.format(url=url, spool=reception.spool.root))
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["metrics", *map(str, arguments)])


def parsed(text: str) -> Values:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(values: Values, name: str) -> float:
    return sum(value for (found, _), value in values.items() if found == name)


def test_figures_are_parsed_and_tell_how_the_site_stands(config: Path) -> None:
    done = run("--config", config)
    values = parsed(done.stdout)

    assert (done.exit_code, done.stderr) == (0, "")
    assert {name for name, _ in values} == set(METRICS)
    assert values["mammoclip_instances_received_total", ()] == 2
    assert values["mammoclip_instances_set_aside", ("no-laterality",)] == 1
    assert values["mammoclip_instances_waiting", ()] == 1
    assert values["mammoclip_studies", ("receiving",)] == 1
    assert values["mammoclip_studies", ("delivered",)] == 4
    assert values["mammoclip_deliveries", ("archive", "confirmed")] == 1
    assert values["mammoclip_due", ("analyses",)] == 1
    assert values["mammoclip_due", ("deliveries",)] == 0
    assert values["mammoclip_due_oldest_age_seconds", ("analyses",)] >= 7200
    assert values["mammoclip_due_oldest_age_seconds", ("deliveries",)] == 0
    assert values["mammoclip_queue_workers", ("gpu",)] == 1
    assert values["mammoclip_queue_workers", ("deliver",)] == 0
    assert values["mammoclip_worker_up", ("gpu@host",)] == 1
    assert values["mammoclip_worker_up", ('old@"host"',)] == 0
    assert values["mammoclip_canary_broken", ()] == 1
    at = values["mammoclip_metrics_timestamp_seconds", ()]
    assert at - values["mammoclip_canary_last_run_timestamp_seconds", ()] >= 300
    assert values["mammoclip_destination_circuit", ("archive", "open")] == 1
    assert values["mammoclip_destination_circuit", ("second", "closed")] == 1
    assert values["mammoclip_proof_waiting", ("archive",)] == 1
    assert values["mammoclip_proof_oldest_age_seconds", ("archive",)] >= 10_800
    assert values["mammoclip_proof_given_up", ("archive",)] == 1
    assert ("mammoclip_proof_waiting", ("second",)) not in values
    scanner = ("Maker Model 7",)
    assert values["mammoclip_scanner_answers", scanner] == 1
    assert values["mammoclip_scanner_answers_flagged", scanner] == 1
    assert at - values["mammoclip_scanner_last_study_timestamp_seconds", scanner] >= 3600
    assert values["mammoclip_drift_alarms", ("silence", *scanner)] == 1
    assert values["mammoclip_results_held", ()] == 0
    assert 0 < values["mammoclip_spool_free_bytes", ()] < values["mammoclip_spool_size_bytes", ()]


def test_removed_destination_still_owes_its_proof(config: Path, reception: Reception) -> None:
    """Its files are kept, and nobody asks it: an alarm on what waits must see it."""
    with reception.database.writing() as session:
        now = database_time(session)
        analysis = analysis_row(session, study_row(session, "1.6"), state=AnalysisState.DONE)
        accepted = {"state": DeliveryState.ACCEPTED, "finished_at": now - timedelta(hours=3)}
        delivery_row(session, analysis, destination="gone", proof_due_at=now, **accepted)

    values = parsed(run("--config", config).stdout)

    assert values["mammoclip_proof_waiting", ("gone",)] == 1
    assert values["mammoclip_proof_oldest_age_seconds", ("gone",)] >= 3 * 3600


@on_sqlite
def test_counters_are_the_sums_of_their_parts(config: Path) -> None:
    values = parsed(run("--config", config).stdout)

    for kind in ("instances", "studies"):
        assert total(values, f"mammoclip_{kind}_received_total") == total(
            values, f"mammoclip_{kind}"
        )
    set_aside = total(values, "mammoclip_instances_set_aside")
    assert set_aside == values["mammoclip_instances", ("set_aside",)]
    for name in ("archive", "second"):
        states = [values["mammoclip_destination_circuit", (name, one.value)] for one in Circuit]
        assert sorted(states) == [0, 0, 1]


@on_sqlite
def test_figures_name_no_patient_and_no_study(config: Path) -> None:
    text = run("--config", config).stdout

    assert text
    assert [word for word in (*PATIENT_WORDS, STUDY_UID, '1.3"') if word in text] == []


@on_sqlite
def test_file_takes_the_place_of_the_former_one_and_all_may_read_it(
    config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    file = folder / "mammoclip.prom"
    file.write_text("former\n")
    before = os.umask(0o077)
    try:
        with closing(file.open()) as opened_before:
            done = run("--config", config, "--out", file)
            former = opened_before.read()
    finally:
        os.umask(before)

    assert (done.exit_code, done.stdout) == (0, "")
    assert former == "former\n", "who reads the former one reads all of it"
    assert parsed(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(folder.iterdir()) == [file]


@on_sqlite
def test_file_that_cannot_be_written_is_said_in_one_line(config: Path, tmp_path: Path) -> None:
    done = run("--config", config, "--out", tmp_path / "missing" / "mammoclip.prom")

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "missing") in line


@on_sqlite
def test_failed_run_leaves_the_former_file_as_it_was(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "mammoclip.prom"
    file.write_text("former\n")
    text = config.read_text()
    config.write_text(re.sub(r"sqlite:///\S+\"", f'sqlite:///{tmp_path}/none.sqlite"', text))

    done = run("--config", config, "--out", file)

    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text() == "former\n"


def test_names_and_units_keep_to_the_conventions() -> None:
    for name, one in METRICS.items():
        assert re.fullmatch(r"mammoclip_[a-z_]+", name)
        assert name.endswith("_total") == (one.kind == "counter")
        is_measured = "age" in name or "timestamp" in name
        assert not is_measured or name.endswith("_seconds")
        assert not one.help.endswith(".")


def test_page_lists_every_metric_as_the_code_has_it() -> None:
    rows = table_after(PAGE, "## Metrics")

    assert rows == [
        [f"`{name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help]
        for name, one in METRICS.items()
    ]


def rules() -> Iterator[dict[str, object]]:
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        yield from group["rules"]


def test_alert_rules_name_only_metrics_and_labels_that_exist() -> None:
    found = list(rules())

    assert len({str(rule["alert"]) for rule in found}) == len(found) == 12
    for rule in found:
        assert set(rule) | {"for"} == {"alert", "expr", "for", "labels", "annotations"}
        names = set(re.findall(r"\bmammoclip_\w+", str(rule["expr"])))
        assert names
        assert names <= set(METRICS)
        labels = {label for name in names for label in METRICS[name].labels}
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= labels


def test_page_names_every_alert() -> None:
    assert [str(rule["alert"]) for rule in rules() if str(rule["alert"]) not in text_of(PAGE)] == []


@on_sqlite
def test_dashboard_asks_for_what_a_scrape_has_and_nothing_else(config: Path) -> None:
    scraped = {
        name: dict(zip(METRICS[name].labels, labels, strict=True))
        for name, labels in parsed(run("--config", config).stdout)
    }
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]

    targets = [target for panel in panels for target in panel["targets"]]
    assert len(targets) >= 15
    for target in targets:
        names = set(re.findall(r"\bmammoclip_\w+", target["expr"]))
        assert names
        assert names <= scraped.keys()
        labels = {label for name in names for label in scraped[name]}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels
        assert set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", target["expr"])) <= labels
        for listed in re.findall(r"by \(([^)]*)\)", target["expr"]):
            assert set(re.findall(r"\w+", listed)) <= labels


def test_every_alert_rule_has_a_test_of_its_own() -> None:
    tests = yaml.safe_load(ALERT_TESTS.read_text(encoding="utf-8"))["tests"]

    fired = {
        one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]
    }
    quiet = {
        one["alertname"]
        for test in tests
        for one in test["alert_rule_test"]
        if not one["exp_alerts"]
    }
    assert fired == quiet == {str(rule["alert"]) for rule in rules()}


@pytest.mark.long
def test_alert_rules_pass_their_tests_in_promtool() -> None:
    promtool = require_program("promtool")
    for arguments in (["check", "rules", ALERTS], ["test", "rules", ALERT_TESTS]):
        done = subprocess.run(
            [promtool, *arguments], cwd=ALERTS.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
