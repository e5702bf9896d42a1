from datetime import datetime

import pytest
from node_factory import NOW, after, analysis_row, claimed, history, study_row
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from dicom_node.errors import ForbiddenTransitionError, OvertakenError
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.work import recover_lost
from dicom_node.studies.ledger.states import AnalysisState, Event
from dicom_node.studies.ledger.tables import Analysis, Transition
from dicom_node.studies.ledger.transitions import apply, begin


def test_applied_event_moves_the_row(session: Session) -> None:
    analysis = analysis_row(session, study_row(session))

    apply(session, analysis, Event.CANCEL, at=NOW, reason="by hand")

    assert (analysis.state, analysis.version, analysis.reason) == (
        AnalysisState.CANCELLED,
        1,
        "by hand",
    )


def test_applied_event_writes_its_history(session: Session) -> None:
    analysis = analysis_row(session, study_row(session))

    apply(session, analysis, Event.CANCEL, because="asked for", at=after(3))

    row = session.scalars(select(Transition)).one()
    assert (row.subject, row.subject_id, row.event) == ("analysis", analysis.id, "cancel")
    assert (row.before, row.after, row.reason) == ("due", "cancelled", "asked for")
    assert row.at == after(3)


def test_begun_life_starts_its_history(session: Session) -> None:
    study = study_row(session)
    analysis = Analysis(
        study_id=study.id,
        revision=1,
        state=AnalysisState.DUE,
        version=0,
        attempts=0,
        due_at=NOW,
        created_at=NOW,
        lease_holder="",
        reason="",
        bundle="",
    )

    begin(session, analysis, at=NOW)

    assert list(history(session, "analysis")) == [("", "new", "due")]


def test_row_that_another_process_moved_is_not_moved_again(database: Database) -> None:
    with database.writing() as session:
        analysis_row(session, study_row(session))
    with database.reading() as session:
        stale = session.scalars(select(Analysis)).one()
    with database.writing() as session:
        apply(session, session.get_one(Analysis, stale.id), Event.CANCEL, at=NOW)

    with pytest.raises(OvertakenError), database.writing() as session:
        apply(session, stale, Event.CLAIM, at=NOW)

    with database.reading() as session:
        assert session.get_one(Analysis, stale.id).state is AnalysisState.CANCELLED
        assert [event for _, event, _ in history(session, "analysis")] == ["cancel"]


def test_forbidden_event_leaves_row_as_it_is(session: Session) -> None:
    analysis = analysis_row(session, study_row(session))

    with pytest.raises(ForbiddenTransitionError):
        apply(session, analysis, Event.FINISH, at=NOW)

    assert (analysis.state, analysis.version) == (AnalysisState.DUE, 0)


def test_worker_that_lost_its_lease_cannot_finish(session: Session) -> None:
    analysis = analysis_row(session, study_row(session))
    first = claimed(session, analysis, holder="host:1")
    recover_lost(session, Analysis, maximum_attempts=4, at=after(41))
    claimed(session, analysis, holder="host:2", at=after(41))

    with pytest.raises(OvertakenError, match="claim of host:1 is no longer valid"):
        outcomes.finish_analysis(
            session, first, findings="{}", bundle="", results=[], destinations=[], at=after(42)
        )


def test_instant_without_a_zone_is_refused(session: Session) -> None:
    naive = datetime(2026, 3, 4)

    with pytest.raises(StatementError, match="times without a zone"):
        study_row(session, first_received_at=naive)


def test_study_has_one_open_analysis_at_most(session: Session) -> None:
    study = study_row(session)
    analysis_row(session, study, revision=1)

    with pytest.raises(IntegrityError):
        analysis_row(session, study, revision=2, state=AnalysisState.RUNNING)
