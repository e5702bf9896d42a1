"""Everything that ended badly for one reason is retried at once, and nothing else."""

import pytest
from node_factory import after, analysis_row, delivery_row, study_row
from sqlalchemy import select

from dicom_node.studies import retrying_many
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery
from dicom_node.studies.retrying_many import retry_all


@pytest.fixture
def bad_night(database: Database) -> None:
    with database.writing() as session:
        for number in range(7):
            analysis_row(
                session,
                study_row(session, f"1.2.{number}"),
                state=AnalysisState.FAILED,
                reason="Licence refused" if number < 5 else "100% unreadable",
                attempts=4,
                dispatched_at=after(0),
            )
        done = analysis_row(session, study_row(session, "1.3"), state=AnalysisState.DONE)
        for state in DeliveryState:
            delivery_row(
                session, done, destination=state.value, state=state, reason="licence", attempts=2
            )


def test_what_failed_for_the_reason_is_due_again(database: Database, bad_night: None) -> None:
    assert retry_all(database, "licence") == {"analyses": 5, "deliveries": 2}

    with database.reading() as session:
        rows = session.scalars(select(Analysis).where(Analysis.state == AnalysisState.DUE)).all()
        sent = session.scalars(select(Delivery.destination).where(Delivery.attempts == 0)).all()
    assert [(row.attempts, row.reason, row.dispatched_at) for row in rows] == [(0, "", None)] * 5
    assert sorted(sent) == ["expired", "refused"]


def test_retrying_twice_retries_nothing_more(database: Database, bad_night: None) -> None:
    retry_all(database, "licence")

    assert retry_all(database, "licence") == {"analyses": 0, "deliveries": 0}


def test_sign_of_a_pattern_is_an_ordinary_letter(database: Database, bad_night: None) -> None:
    assert retry_all(database, "0% un") == {"analyses": 2, "deliveries": 0}
    assert retry_all(database, "lic%ref") == {"analyses": 0, "deliveries": 0}


def test_more_than_one_portion_is_retried_whole(
    database: Database, bad_night: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying_many, "PORTION", 2)

    assert retry_all(database, "licence") == {"analyses": 5, "deliveries": 2}


def test_what_a_correction_or_a_later_revision_replaces_is_never_sent_again(
    database: Database,
) -> None:
    with database.writing() as session:
        former = analysis_row(session, study_row(session), state=AnalysisState.SUPERSEDED)
        delivery_row(session, former, state=DeliveryState.EXPIRED, reason="patient corrected")

    assert retry_all(database, "corrected") == {"analyses": 0, "deliveries": 0}
