"""Late answers are counted when they came, and studies that wait too long while they wait."""

from datetime import timedelta
from typing import Any

import pytest
from node_factory import Reception, analysis_row, study_row

from dicom_node.drift.service_level import service_level
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.settings.operation.monitoring import MonitoringSettings
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.monitoring.notes import AnswerNote, note_answer
from dicom_node.studies.ledger.states import AnalysisState, StudyState

LATE = MonitoringSettings(late_after_minutes=30, on_time=0.95)


class Site:
    """Enters studies, and says what the windows have counted."""

    def __init__(self, reception: Reception) -> None:
        self.database = reception.database
        self.numbers = iter(range(1, 99))

    def answered(self, ago: float, *, after: float, priority: int = 1) -> None:
        """Enter an answer of some minutes ago, so many minutes after its last image."""
        with self.database.writing() as session:
            at = database_time(session) - timedelta(minutes=ago)
            came = at - timedelta(minutes=after)
            study = study_row(
                session, f"1.{next(self.numbers)}", first_received_at=came, last_received_at=came
            )
            done = analysis_row(
                session, study, state=AnalysisState.DONE, finished_at=at, priority=priority
            )
            note = AnswerNote(scores={"mass": (0.1, False)}, views={}, images=4, left_out=0)
            note_answer(session, done.id, note, at=at)

    def waiting(self, minutes: float, uid: str = "", **columns: Any) -> None:
        """Enter a study that waits for its answer since its last image."""
        with self.database.writing() as session:
            came = database_time(session) - timedelta(minutes=minutes)
            columns = {"first_received_at": came, "last_received_at": came, **columns}
            study = study_row(session, uid or f"1.{next(self.numbers)}", **columns)
            if study.state is StudyState.SETTLED:
                analysis_row(session, study)

    def counted(self) -> dict[str, tuple[int, int]]:
        with self.database.reading() as session:
            found = service_level(session, LATE, now=database_time(session))
        return {name: (burn.answers, burn.late) for name, burn in found.items()}


@pytest.fixture
def site(reception: Reception) -> Site:
    return Site(reception)


def test_answers_count_by_when_they_came_and_how_long_they_took(site: Site) -> None:
    site.answered(ago=2, after=10)
    site.answered(ago=20, after=31)
    site.answered(ago=300, after=90)
    site.answered(ago=500, after=90)

    assert site.counted() == {"5m": (1, 0), "30m": (2, 1), "1h": (2, 1), "6h": (3, 2)}


def test_study_that_waits_too_long_counts_though_nothing_is_answered(site: Site) -> None:
    site.waiting(29)
    site.waiting(600)
    site.waiting(600, state=StudyState.OPEN, revision=0)

    assert set(site.counted().values()) == {(2, 2)}


def test_canary_and_what_waits_on_purpose_do_not_count(site: Site) -> None:
    site.waiting(600, uid=CANARY_STUDY)
    site.waiting(600, priority=0)
    site.answered(ago=2, after=600, priority=0)

    assert set(site.counted().values()) == {(0, 0)}
