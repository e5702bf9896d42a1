"""Drift, thresholds, stop rules, audit and inventory, as the console and the API show them."""

from datetime import timedelta

import pytest
from console_factory import Person, Served
from node_factory import STUDY_UID
from unit.dicom_node.drift.noted_year import BUNDLE

from dicom_node.audit.audit_file import AuditFile
from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Fingerprint
from dicom_node.receipts.receipt import verify_receipt
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.due.pauses import Paused, pause
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.alarm_book import enter_alarm, enter_stop
from dicom_node.studies.ledger.monitoring.threshold_sets import propose, threshold_sets

NEW = Fingerprint("Maker", "Model", "7", "2.0")


@pytest.fixture(scope="module")
def operator(watched: Served) -> Person:
    return watched.person("operator")


def test_drift_shows_each_scanner_as_a_chart_with_its_alarms(
    watched: Served, operator: Person
) -> None:
    (equipment,) = watched.get("/api/drift", Role.VIEWER).json()["equipment"]
    with watched.database.writing() as session:
        at = database_time(session)
        alarm = Alarm(
            scanner=" ".join(equipment["equipment"].split()[:-1]),
            kind=Kind.FLAG_RATE_ROSE,
            at=at - timedelta(days=2),
            detail="the flag rate rose",
        )
        assert enter_alarm(session, alarm, noticed_at=at)

    text = operator.get("/drift").text
    assert "Pixels of the images" in text
    assert "is gathered" in text
    assert "Pixels of the images" not in operator.get("/drift?days=1").text, "nothing was noted"

    assert text.count('<svg class="chart"') == 1
    assert text.count('class="alarm"') == 1
    assert f"<td>{Kind.FLAG_RATE_ROSE}</td><td>the flag rate rose</td>" in text
    assert text.count(" flagged (") > 2, "a point of each day"
    assert operator.get("/drift?days=0").status_code == 422


def test_proposed_thresholds_are_accepted_by_a_button_with_the_account(
    watched: Served, operator: Person
) -> None:
    with watched.database.writing() as session:
        number = propose(
            session, NEW, BUNDLE, thresholds={"cancer": 0.5},
            facts={"cancer": "cancer: 13 % as on 1.0"}, by="anna", at=database_time(session),
        )  # fmt: skip
    assert f"Accept set {number}" in operator.get("/drift").text
    assert f"Accept set {number}" not in watched.person("viewer").get("/drift").text

    answer = operator.post("/drift/thresholds/accept", data={"number": number})

    assert answer.status_code == 303
    with watched.database.reading() as session:
        (found,) = threshold_sets(session)
    assert (found.state, found.by) == ("accepted", "operator")
    again = watched.ask("POST", f"/api/thresholds/{number}/accept", Role.OPERATOR)
    assert again.status_code == 409
    done = watched.ask("POST", f"/api/thresholds/{number}/withdraw", Role.OPERATOR)
    assert done.json()["done"] == [f"threshold set {number} for Maker Model 7 2.0 is withdrawn"]


def test_results_that_a_stop_rule_holds_are_resumed_from_the_view(
    watched: Served, operator: Person
) -> None:
    with watched.database.writing() as session:
        at = database_time(session)
        sentence = "flag_rate > 0.25 for 3 days"
        pause(session, Paused.RESULTS, "", reason=sentence, paused_by="the stop rule", at=at)
        enter_stop(session, sentence, at.date(), at=at)
    text = operator.get("/drift").text
    assert "results is paused by the stop rule" in text
    assert "Resume results" in text

    operator.post("/pauses/end", data={"what": "results"})

    document = watched.get("/api/drift", Role.VIEWER).json()
    assert document["results_held"] == ""
    assert sentence in document["last_stop"]


def test_broken_canary_is_red_with_its_phase_and_a_held_one_is_not(
    watched: Served, operator: Person
) -> None:
    # No listener runs in front of this console.
    run = watched.ask("POST", "/api/canary", Role.OPERATOR).json()
    assert run["broken"] == "receive"

    text = operator.get("/").text
    assert "phase receive was broken: " in text
    assert '<span class="state failed">failed</span>' in text
    troubles = watched.get("/api/now", Role.VIEWER).json()["troubles"]
    assert any("phase receive was broken" in one for one in troubles)

    watched.ask("POST", "/api/drain", Role.OPERATOR, json={"reason": "moved"})
    run = watched.ask("POST", "/api/canary", Role.OPERATOR).json()
    watched.ask("POST", "/api/drain/end", Role.OPERATOR)
    assert (run["broken"], run["reason"].partition(": ")[0]) == ("", "receive")
    assert "it was held, which is no fault: receive: " in operator.get("/").text
    troubles = watched.get("/api/now", Role.VIEWER).json()["troubles"]
    assert not any("canary" in one for one in troubles)


def test_audit_shows_the_newest_entries_and_an_altered_line(watched: Served) -> None:
    admin = watched.person("admin")
    text = admin.get("/audit").text
    assert "none altered, none missing" in text
    assert '<th scope="row">admin</th><td>console</td><td>sign-in</td>' in text
    assert "a. Version" in text
    assert admin.get(f"/audit?study={STUDY_UID}.9").text.count("<tr>") == 0
    file = AuditFile(watched.spool.root).path
    content = file.read_bytes()
    altered = content.replace(b"sign-in", b"sign-iN", 1)
    file.write_bytes(altered.replace(b'"at"', b'"aT"').replace(b'"who"', b'"whO"'))
    try:
        answer = watched.get("/api/audit?limit=1", Role.ADMIN).json()
        assert "is not as it was written" in answer["faults"][0]
        assert "The audit file is not as it was written" in admin.get("/audit").text
    finally:
        file.write_bytes(content)


def test_inventory_and_monthly_report_are_given_to_the_administrator(watched: Served) -> None:
    sheet = watched.get("/api/inventory", Role.ADMIN).json()
    report = watched.get("/audit/report.html", Role.ADMIN)

    assert "mammoclip-dicom" in sheet["a. Version"]
    assert "12. Repeatability" in report.text
    assert report.headers["Content-Disposition"].startswith("attachment")
    assert watched.get("/audit/report.pdf", Role.ADMIN).content.startswith(b"%PDF")
    assert watched.get("/audit/report.exe", Role.ADMIN).status_code == 404


def test_receipt_of_a_study_is_downloaded_from_its_page(operator: Person) -> None:
    path = f"/studies/{STUDY_UID}/receipt"
    assert f'href="{path}"' in operator.get(f"/studies/{STUDY_UID}").text

    verdict = verify_receipt(operator.get(path).content, key=None)

    assert (verdict.study, verdict.faults) == (STUDY_UID, ())
