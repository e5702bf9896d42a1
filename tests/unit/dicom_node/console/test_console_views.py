"""The pages say what the ledger holds, and do what their buttons say."""

import re
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import pytest
from console_factory import ACCESSION, Person, Served
from node_factory import (
    NOW,
    PATIENT_ID,
    STUDY_UID,
    analysis_row,
    delivery_row,
    result_row,
    study_row,
)
from PIL import Image
from sqlalchemy import select

from dicom_node.console.failures import causes
from dicom_node.console.queries import outlooks
from dicom_node.facts.assessed_results import Assessed, Decision
from dicom_node.settings.work import RetrySettings
from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.assessments import keep_truth
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import circuits, note_failure
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.backlog import backlog
from dicom_node.studies.ledger.removal.erasing import erase_study
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import DeliveryOutcome, Study


@pytest.fixture(scope="module")
def operator(served: Served) -> Person:
    return served.person("operator")


@pytest.mark.parametrize("text", [ACCESSION, PATIENT_ID.lower(), "quellw", STUDY_UID])
def test_study_is_found_by_what_a_person_knows(operator: Person, text: str) -> None:
    answer = operator.post("/studies", data={"text": text})

    assert answer.status_code == 200
    assert f'href="/studies/{STUDY_UID}"' in answer.text
    assert "Quellwasser, Ottilie" in answer.text
    # Nor do links of the page carry an identifier elsewhere.
    assert not [link for link in re.findall(r'href="([^"]*)"', answer.text) if ACCESSION in link]


def test_filter_of_the_address_is_kept_in_the_form(operator: Person) -> None:
    answer = operator.get("/studies?state=receiving&sender=SCANNER&since=2026-03-01")

    assert "<option selected>receiving</option>" in answer.text
    assert 'name="sender" value="SCANNER"' in answer.text
    assert f"/studies/{STUDY_UID}" in answer.text


@pytest.mark.parametrize(
    "query", ["state=lost", "since=yesterday", "cursor=zzz", "state=" + "x" * 99]
)
def test_filter_that_is_none_is_refused_without_its_value(operator: Person, query: str) -> None:
    answer = operator.get(f"/studies?{query}")

    assert answer.status_code in {409, 422}
    assert query.partition("=")[2] not in answer.text


def test_study_says_what_happened_with_its_images_and_time_line(operator: Person) -> None:
    text = operator.get(f"/studies/{STUDY_UID}").text

    assert f"Accession {ACCESSION}" in text
    assert "born 1947-03-02" in text
    assert "4 images filed in the spool" in text
    assert "what to do:" in text
    assert "Analyse now although incomplete" in text


def test_study_says_what_readers_make_of_it(served: Served, operator: Person) -> None:
    with served.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDY_UID)).one()
        said = Assessed(
            decision=Decision.REJECTED, code="R", scheme="99PACS", meaning="", comment="<i>cyst</i>"
        )
        keep_truth(session, study.id, said, finding="mass", origin="1.2", assessed_at=None, at=NOW)

    text = operator.get(f"/studies/{STUDY_UID}").text

    assert "What readers say" in text
    assert "&lt;i&gt;cyst&lt;/i&gt;" in text


def test_study_and_each_object_say_how_far_their_proof_has_come(
    served: Served, operator: Person
) -> None:
    uid = "1.2.5"
    with served.database.writing() as session:
        done = analysis_row(session, study_row(session, uid), state=AnalysisState.DONE)
        result = result_row(session, done)
        # Everything but a rejection note is proven, which archives may hide.
        sent = delivery_row(session, done, state=DeliveryState.CONFIRMED, finished_at=NOW)
        facts = {"delivery_id": sent.id, "result_object_id": result.id, "status": "0x0000"}
        session.add(DeliveryOutcome(**facts, outcome="accepted", at=NOW))
    try:
        page, table = operator.get(f"/studies/{uid}").text, operator.get("/studies").text
    finally:
        with served.database.writing() as session:
            erase_study(session, uid, force=True, at=database_time(session))

    state = '<span class="state delivered">delivered</span> <small>confirmed</small>'
    assert state in page
    assert state in table
    assert 'archive: <span class="state accepted">accepted</span>' in page


def test_picture_of_an_image_is_a_jpeg(served: Served, operator: Person) -> None:
    text = operator.get(f"/studies/{STUDY_UID}").text
    path = re.findall(r'src="(/studies/[^"]*small.jpg)"', text)[0]

    answer = operator.get(path)

    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "no-store"
    assert Image.open(BytesIO(answer.content)).size == (64, 96)


def test_download_holds_every_object_as_it_is_stored(operator: Person) -> None:
    answer = operator.get(f"/studies/{STUDY_UID}/download")

    with zipfile.ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 4
        assert all(archive.read(name)[128:132] == b"DICM" for name in archive.namelist())
    assert "Quellwasser" not in answer.headers["Content-Disposition"]


def test_viewer_sees_no_button_that_changes_something(served: Served) -> None:
    text = served.person("viewer").get(f"/studies/{STUDY_UID}").text

    assert "Analyse again" not in text
    assert "Erase" not in text


def test_pause_stands_on_every_page_until_it_is_ended(operator: Person) -> None:
    done = operator.post("/pauses", data={"what": "worker", "reason": "<b>new</b> bundle"})
    assert done.status_code == 303
    try:
        text = operator.get("/studies").text
        assert "worker, by operator since" in text
        assert "&lt;b&gt;new&lt;/b&gt; bundle" in text
    finally:
        operator.post("/pauses/end", data={"what": "worker"})

    assert "<strong>Paused:</strong>" not in operator.get("/studies").text


def test_what_cannot_be_done_is_said_in_words(operator: Person) -> None:
    answer = operator.post("/destinations/echo", data={"name": "archive"})

    assert answer.status_code == 409
    assert "archive" in answer.text
    assert "does not answer" in answer.text or "cannot be reached" in answer.text


@pytest.fixture
def dead_archive(served: Served) -> Iterator[int]:
    """Have the archive's circuit open, with deliveries that wait and some that it refused."""
    uids = [f"1.2.3.{number}" for number in range(1, 9)]
    with served.database.writing() as session:
        at = database_time(session)
        policy = RetrySettings(breaker_failures=1)
        note_failure(session, "archive", reason="connection refused", policy=policy, at=at)
        for number, uid in enumerate(uids):
            analysis = analysis_row(
                session, study_row(session, uid), state=AnalysisState.DONE, findings="{}"
            )
            delivery_row(
                session,
                analysis,
                state=DeliveryState.REFUSED if number < 3 else DeliveryState.DUE,
                reason=f"0xA700 at instance 1.2.840.{number}.77.{number}",
                finished_at=at,
            )
    yield len(uids)
    with served.database.writing() as session:
        for uid in uids:
            erase_study(session, uid, force=True, at=database_time(session))


def test_everything_of_a_dead_archive_is_one_line_with_one_button(
    served: Served, operator: Person, dead_archive: int
) -> None:
    text = operator.get("/failures").text
    assert "Destination archive takes nothing" in text
    (key,) = re.findall(r'name="cause" value="([0-9a-f]+)"', text)
    assert f"Retry all {dead_archive}" in text

    answer = operator.post("/failures/retry", data={"cause": key})

    assert answer.status_code == 303
    with served.database.reading() as session:
        assert circuits(session, at=database_time(session))["archive"].circuit == "half_open"
        (left,) = causes(session, served.settings)
        assert (left.count, left.waiting) == (0, dead_archive)


def test_now_tells_when_analyses_and_deliveries_end_or_what_keeps_them(
    served: Served, operator: Person, dead_archive: int
) -> None:
    text = operator.get("/").text
    analyses, deliveries = served.get("/api/now", Role.VIEWER).json()["waiting"]

    waiting = dead_archive - 3  # three were refused
    assert f"{waiting} wait for archive, which is down" in text
    assert (deliveries["count"], deliveries["ends_at"]) == (waiting, None)
    assert (analyses["count"], analyses["why"]) == (0, "")


def test_end_of_what_waits_is_told_by_the_pace_of_each(database: Database) -> None:
    at = NOW
    with database.writing() as session:
        for number in range(10):
            analysis = analysis_row(
                session, study_row(session, f"1.2.5.{number}"), state=AnalysisState.DONE
            )
            analysis.finished_at = at - timedelta(minutes=10)
            delivery_row(
                session,
                analysis,
                state=DeliveryState.DUE if number < 4 else DeliveryState.ACCEPTED,
                finished_at=None if number < 4 else at - timedelta(minutes=6),
            )
        backlogged = backlog(session)
        analyses, deliveries = outlooks(session, at, backlogged, [])

    assert (analyses.count, analyses.ends_at, analyses.why) == (0, None, "")
    assert (deliveries.count, deliveries.ends_at) == (4, at + timedelta(minutes=4))


def test_failures_that_differ_in_numbers_alone_have_one_cause(served: Served) -> None:
    uids = [f"1.2.4.{number}" for number in range(1, 6)]
    with served.database.writing() as session:
        for number, uid in enumerate(uids):
            study: Study = study_row(session, uid)
            reason = f"image 1.2.840.{number}.5.{number}: 12{number} pixels missing"
            analysis_row(session, study, state=AnalysisState.FAILED, reason=reason)
    try:
        with served.database.reading() as session:
            found = [one for one in causes(session, served.settings) if one.what == "analysis"]
        (cause,) = found
        assert cause.words == "image …: … pixels missing"
        assert (cause.count, len(cause.reasons)) == (5, 5)

        answer = served.ask("POST", f"/api/failures/{cause.key}/retry", Role.OPERATOR)

        assert answer.json() == {"done": ["due again: 5 analyses, 0 deliveries"]}
        again = served.ask("POST", f"/api/failures/{cause.key}/retry", Role.OPERATOR)
        assert again.status_code == 409
    finally:
        with served.database.writing() as session:
            for uid in uids:
                erase_study(session, uid, force=True, at=database_time(session))


def test_secrets_are_not_shown(served: Served) -> None:
    text = served.person("admin").get("/settings").text

    assert "(secret)" in text
    assert "redis://" not in text
    assert "argon2" not in text
