"""Answers of further bundles are kept beside those that are sent, compared, and sent nowhere."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from unit.dicom_node.node_factory import STUDY_UID, Reception
from worker_factory import StandInEngine, run_analysis, shown_mammogram, stand_in_manifest

from dicom_node.routing.route import Route
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger import shadows
from dicom_node.studies.ledger.removal.removing import finished_studies
from dicom_node.studies.ledger.site_tables import ShadowAnalysis
from dicom_node.studies.ledger.spools import FIRST
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, ResultObject, Study
from dicom_node.studies.settling import begin_analysis
from dicom_node.studies.shadow_comparison import agreements, comparisons
from mammoclip_core.errors import ComputingError, CoreError
from worker.analyze.models import Model
from worker.analyze.shadow_answers import answer_in_shadow
from worker.runtime import Runtime

SECOND = stand_in_manifest(name="second", version="2", weights_sha256="ef" * 32)
ARCHIVE = {"name": "archive", "ae_title": "ARCHIVE", "host": "10.0.0.2"}


class SecondEngine(StandInEngine):
    def analyze(self, request: Any) -> Any:
        answer = super().analyze(request)
        return replace(answer, findings=replace(answer.findings, bundle=SECOND.identity))


@pytest.fixture
def engine() -> SecondEngine:
    return SecondEngine(score=0.4, finds_nothing=True)


@pytest.fixture
def site(runtime_with: Callable[..., Runtime], engine: SecondEngine, tmp_path: Path) -> Runtime:
    node = runtime_with(destinations=[ARCHIVE], bundles={"second": {"folder": tmp_path / "second"}})
    node.further_models._loaded["second"] = Model(SECOND, engine)
    return node


@pytest.fixture
def received(site: Runtime) -> Reception:
    reception = Reception(Spool(site.settings.spool), site.database)
    reception.receive(shown_mammogram())
    return reception


@pytest.fixture
def analysed(site: Runtime, received: Reception) -> int:
    """Return an analysis that is done, beside which another answer is due."""
    with received.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == STUDY_UID)).one()
        study.state = StudyState.SETTLED
        session.flush()
        route = Route(rule="a", shadows=("second",))
        now = datetime.now(UTC)
        number = begin_analysis(session, study, because="test", at=now, route=route).id
    assert run_analysis(site, number).state is AnalysisState.DONE
    return number


def shadow(received: Reception) -> ShadowAnalysis:
    (row,) = received.rows(ShadowAnalysis)
    return row


def made(received: Reception) -> list[Any]:
    return [(row.id, row.place) for row in received.rows(ResultObject)]


def test_answer_is_kept_and_compared_and_nothing_is_sent_of_it(
    site: Runtime, received: Reception, analysed: int
) -> None:
    before = made(received)

    assert answer_in_shadow(site, analysed)

    row = shadow(received)
    assert (row.state, row.answered_by) == (shadows.DONE, f"second 2 {'ef' * 32}")
    assert json.loads(row.findings or "")["bundle"]["name"] == "second"
    assert made(received) == before
    assert [one.destination for one in received.rows(Delivery)] == ["archive"]
    with received.database.reading() as session:
        (one,) = comparisons(session, limit=9)
    assert (one.finding, one.live, one.shadow) == ("mass", 0.9, 0.4)
    assert (one.live_flagged, one.shadow_flagged) == (True, False)
    (summed,) = agreements([one])
    assert summed.mean_difference == pytest.approx(-0.5)
    assert (summed.studies, summed.agreeing) == (1, 0)
    assert not answer_in_shadow(site, analysed), "once is enough"


def test_answer_of_a_worker_that_was_lost_is_made_by_another(
    site: Runtime, received: Reception, analysed: int
) -> None:
    now = datetime.now(UTC)
    with received.database.writing() as session:
        lost = shadows.claim_shadow(
            session,
            analysed,
            holder="lost",
            lease=timedelta(seconds=-1),
            maximum_attempts=4,
            at=now,
        )
    assert lost is not None

    assert answer_in_shadow(site, analysed)

    assert (shadow(received).state, shadow(received).attempts) == (shadows.DONE, 2)
    with received.database.writing() as session:
        assert not shadows.finish_shadow(session, lost, findings="{}", answered_by="", at=now)
    assert shadow(received).findings != "{}"


def test_answer_at_which_every_worker_dies_is_given_up(
    site: Runtime, received: Reception, analysed: int
) -> None:
    maximum = site.settings.work.maximum_attempts
    for _ in range(maximum):
        with received.database.writing() as session:
            assert shadows.claim_shadow(
                session,
                analysed,
                holder="lost",
                lease=timedelta(seconds=-1),
                maximum_attempts=maximum,
                at=datetime.now(UTC),
            )

    assert not answer_in_shadow(site, analysed)

    assert shadow(received).state == shadows.FAILED
    assert shadow(received).reason == f"given up after {maximum} attempts: worker lost died"


def test_answer_that_fails_again_and_again_is_given_up(
    site: Runtime, received: Reception, analysed: int, engine: SecondEngine
) -> None:
    def fails() -> None:
        raise CoreError("no answer")

    engine.meanwhile = fails
    for _ in range(site.settings.work.maximum_attempts):
        with received.database.writing() as session:
            session.scalars(select(ShadowAnalysis)).one().due_at = datetime.now(UTC)
        assert answer_in_shadow(site, analysed)

    assert (shadow(received).state, shadow(received).reason) == (shadows.FAILED, "no answer")
    assert received.rows(Analysis)[0].state is AnalysisState.DONE


def test_fault_of_the_site_uses_up_no_attempt(
    site: Runtime, received: Reception, analysed: int, engine: SecondEngine
) -> None:
    def fails() -> None:
        raise ComputingError("no finite number")

    engine.meanwhile = fails
    assert answer_in_shadow(site, analysed)

    assert (shadow(received).state, shadow(received).attempts) == (shadows.DUE, 0)


def test_missing_bundle_lets_only_its_answers_wait(
    site: Runtime, received: Reception, analysed: int
) -> None:
    site.further_models._loaded.clear()

    assert answer_in_shadow(site, analysed)

    assert "bundle second cannot be used" in shadow(received).reason
    assert shadow(received).state == shadows.DUE
    assert not site.site.is_known


class Messages:
    """A broker of which a test sees what it was given."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def notify(self, task: str, queue: str, ids: list[int]) -> None:
        assert (task, queue) in {("worker.analyze", "gpu"), ("worker.deliver", "deliver")}
        if task == "worker.analyze":
            self.sent += ids

    def waiting(self, queue: str) -> int:
        return 0


def test_workers_are_told_while_no_study_waits(
    site: Runtime, received: Reception, analysed: int
) -> None:
    messages: Any = Messages()
    dispatcher = Dispatcher(
        received.database, messages, redispatch_after=timedelta(seconds=30), maximum_attempts=4
    )
    now = datetime.now(UTC) + timedelta(seconds=1)
    with received.database.writing() as session:
        study = session.scalars(select(Study)).one()
        waiting = begin_analysis(session, study, because="test", at=now).id
    dispatcher.tick(now)
    assert messages.sent == [waiting]

    with received.database.writing() as session:
        session.get_one(Analysis, waiting).state = AnalysisState.CANCELLED
    for second in (1, 2, 33):  # told once, and again when nobody has begun it
        dispatcher.tick(now + timedelta(seconds=second))
    assert messages.sent == [waiting, analysed, analysed]


def test_files_stay_until_the_answer_is_there(
    site: Runtime, received: Reception, analysed: int
) -> None:
    def may_be_removed() -> bool:
        at = datetime.now(UTC) + timedelta(days=999)
        with received.database.reading() as session:
            done, _ = finished_studies(session, FIRST, confirming=(), received_before=at)
        return bool(done)

    with received.database.writing() as session:
        session.scalars(select(Delivery)).one().state = "accepted"
    assert not may_be_removed()

    answer_in_shadow(site, analysed)

    assert may_be_removed()


def test_earlier_revision_is_not_answered_with_images_of_a_later_one(
    site: Runtime, received: Reception, analysed: int
) -> None:
    with received.database.writing() as session:
        session.scalars(select(Study)).one().revision += 1

    assert answer_in_shadow(site, analysed)

    assert shadow(received).state == shadows.FAILED
    assert "a later revision" in shadow(received).reason
