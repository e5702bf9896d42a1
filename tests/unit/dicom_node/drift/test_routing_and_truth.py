"""Alarms on routing, on agreement with the truth, and on calibration; the report of both."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from node_factory import Reception
from noted_year import enter_notes
from sqlalchemy import update
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.drift.rounds import DriftRounds
from dicom_node.monitoring.alarms import Kind
from dicom_node.monitoring.observation import Fingerprint, Observation
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.assessment_tables import Assessment
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due.pauses import pauses
from dicom_node.studies.ledger.monitoring.tables import DriftAlarm, MonitorNote
from dicom_node.studies.ledger.monitoring.truths import known_answers
from dicom_node.studies.ledger.tables import Analysis

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

NOW = datetime(2026, 3, 30, tzinfo=UTC)
RULES = [{"name": "all", "when": "true"}]


def answers(number: int, *, flagged: bool = True, score: float = 0.6) -> list[Observation]:
    return [
        Observation(
            at=NOW - timedelta(days=3, minutes=one),
            equipment=Fingerprint("Maker", "Model", "A", "1.0"),
            flagged=flagged,
            scores={"cancer": score},
        )
        for one in range(number)
    ]


def tell(reception: Reception, decisions: Iterable[str]) -> None:
    """Enter what is true of the answers, in the order of their numbers."""
    with reception.database.writing() as session:
        analyses = list(session.query(Analysis).order_by(Analysis.id))
        for analysis, decision in zip(analyses, decisions, strict=False):
            of_reader = decision in {"accepted", "modified", "rejected"}
            session.add(
                Assessment(
                    study_id=analysis.study_id,
                    analysis_id=analysis.id if of_reader else None,
                    origin=f"{decision} {analysis.id}",
                    number=0,
                    decision=decision,
                    assessed_at=NOW - timedelta(days=1),
                    recorded_at=NOW,
                )
            )


@pytest.fixture
def look(reception: Reception, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[DriftAlarm]]:
    """Have a node look once; return the alarms on routing and calibration."""
    monkeypatch.setattr(Database, "now", lambda _: NOW)

    def step(*, is_calibrated: bool = True, **settings: Any) -> list[DriftAlarm]:
        known = Settings(spool=reception.spool.root, **settings)
        DriftRounds(
            settings=known,
            database=reception.database,
            zone=UTC,
            is_calibrated=lambda: is_calibrated,
        ).step()
        kinds = {Kind.ROUTING.value, Kind.CALIBRATION.value}
        return [row for row in reception.rows(DriftAlarm) if row.kind in kinds]

    return step


def test_study_that_no_rule_took_is_told_where_there_are_rules(
    reception: Reception, look: Callable[..., list[DriftAlarm]]
) -> None:
    enter_notes(reception.database, answers(3))
    with reception.database.writing() as session:
        session.execute(update(Analysis).values(rule="all"))
        session.query(Analysis).limit(1).one().rule = "default"

    assert look() == [], "a site without rules breaks none"
    (alarm,) = look(rules=RULES)
    assert alarm.detail == "1 of 3 studies of the last 7 days were taken by no rule"
    assert len(look(rules=RULES)) == 1, "once a week"


def test_more_than_one_in_a_hundred_outside_of_the_criteria_is_told_beyond_chance(
    reception: Reception, look: Callable[..., list[DriftAlarm]]
) -> None:
    enter_notes(reception.database, answers(200))
    criteria = {"included_ages": "40-79", "includes_implants": False}
    with reception.database.writing() as session:
        rows = list(session.query(MonitorNote))
        rows[50].age_band, rows[100].implants, rows[120].age_band = "90+", True, ""
        rows[150].age_band = "30-39"

    assert look(monitoring=criteria) == [], "three of two hundred may be chance"
    with reception.database.writing() as session:
        for number in range(60, 100):
            session.get_one(MonitorNote, rows[number].id).age_band = "30-39"
    (alarm,) = look(monitoring=criteria)

    assert "studies are not meant for the model, more than 1 in 100 beyond chance" in alarm.detail
    assert "by age" in alarm.detail
    assert "1 with implants" in alarm.detail


def test_answers_of_long_ago_are_not_judged_by_the_criteria_of_today(
    reception: Reception, look: Callable[..., list[DriftAlarm]]
) -> None:
    long_ago = [replace(one, at=one.at - timedelta(weeks=8)) for one in answers(100)]
    enter_notes(reception.database, long_ago)

    assert look(monitoring={"included_ages": "60-79"}) == []


def test_scores_that_promise_other_cancers_than_come_are_told(
    reception: Reception, look: Callable[..., list[DriftAlarm]]
) -> None:
    enter_notes(reception.database, answers(100, score=0.5))
    tell(reception, ["positive"] * 10 + ["negative"] * 90)

    assert look(is_calibrated=False) == [], "scores that are no probabilities promise nothing"
    (alarm,) = look()
    assert alarm.detail.startswith("50.0 cancers expected by the scores of 100 studies")
    assert "10 observed (4.8 to 18.4): expected over observed is 5.00" in alarm.detail


@pytest.mark.parametrize(
    ("missed", "is_held"), [(2, False), (12, True)], ids=["two of twenty", "twelve of twenty"]
)
def test_stop_rule_on_sensitivity_holds_results_beyond_chance(
    reception: Reception, look: Callable[..., object], missed: int, is_held: bool
) -> None:
    enter_notes(reception.database, answers(20 - missed))
    enter_notes(reception.database, answers(missed, flagged=False, score=0.1))
    tell(reception, ["positive"] * 20)

    look(monitoring={"stop_when": "sensitivity < 0.7 for 90 days"})

    with reception.database.reading() as session:
        held = [one.in_words() for one in pauses(session)]
    assert bool(held) == is_held, held
    assert not is_held or "sensitivity < 0.7 for 90 days" in held[0]


def test_study_is_ill_if_any_line_says_so(reception: Reception) -> None:
    enter_notes(reception.database, answers(3))
    tell(reception, ["positive", "negative", "accepted"])
    tell(reception, ["negative"])

    with reception.database.reading() as session:
        found = known_answers(session, since=NOW - timedelta(days=30))

    assert sorted(one.is_ill for one in found) == [False, True]
    assert {round(one.days or 0.0) for one in found} == {2}


def section(page: str, title: str) -> str:
    return page.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]


def test_report_tells_truth_that_was_kept_without_a_table(
    reception: Reception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_notes(reception.database, answers(20))
    enter_notes(reception.database, answers(80, flagged=False, score=0.1))
    truth: Sequence[str] = ["positive"] * 10 + ["negative"] * 80
    tell(reception, truth)
    tell(reception, ["accepted", "accepted", "rejected"])
    url = reception.database.engine.url.render_as_string(hide_password=False)
    config = tmp_path / "mammoclip.toml"
    config.write_text(
        f'spool = "{reception.spool.root}"\n[monitoring]\nincluded_ages = "60-79"\n'
        f'[ledger]\nurl = "{url}"\n'
    )
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(config))
    out = tmp_path / "report.html"

    done = CliRunner().invoke(app, ["report", "--out", str(out), "--since", "2026-03-01"])

    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert "<td>sensitivity</td><td>100.0% (72.2% to 100.0%)" in section(
        page, "10. Agreement with readers"
    )
    assert "findings rejected by readers" in page
    assert "days until it was known, median" in page
    assert "AUC" in page
    assert "<td>part 5 of 5</td>" in section(page, "11. Calibration")
    assert "100 by age" in section(page, "3. Routing")
