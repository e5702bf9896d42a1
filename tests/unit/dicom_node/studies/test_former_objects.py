"""The ledger tells which objects earlier revisions have, where they lie and who holds them."""

from typing import Any

import pytest
from node_factory import after, analysis_row, claimed, finished, made_result, study_row
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.queries.former_objects import FormerObject, former_objects
from dicom_node.studies.ledger.tables import Analysis, ResultObject


@pytest.fixture
def analysis(session: Session) -> Analysis:
    return analysis_row(session, study_row(session))


def next_revision(session: Session, former: Analysis) -> Analysis:
    study = outcomes.study_of(session, former)
    return analysis_row(session, study, revision=former.revision + 1)


def accepted(session: Session, analysis: Analysis, made: MadeResult, **to: Any) -> None:
    """Finish an analysis with one object, with these answers of the destinations."""
    deliveries = finished(session, analysis, made, to=list(to))
    row = session.scalars(select(ResultObject).where(ResultObject.analysis_id == analysis.id)).one()
    for delivery in deliveries:
        held = claimed(session, delivery)
        outcomes.record_outcome(
            session, held, row.id, outcome=to[delivery.destination], status="", at=after(1)
        )


def former_of(session: Session, analysis: Analysis) -> list[FormerObject]:
    return list(former_objects(session, analysis).values())


def test_first_revision_has_nothing_before_it(session: Session, analysis: Analysis) -> None:
    finished(session, analysis, made_result())

    assert former_of(session, analysis) == []


def test_object_of_an_earlier_revision_is_told_with_its_file(
    session: Session, analysis: Analysis
) -> None:
    made = made_result(variant="SRT")
    finished(session, analysis, made)

    (former,) = former_of(session, next_revision(session, analysis))

    assert former == FormerObject(made=made, made_in=1, kept_until=1, accepted_by=frozenset())


def test_object_that_revisions_share_is_told_once_where_the_newest_has_it(
    session: Session, analysis: Analysis
) -> None:
    made = made_result()
    finished(session, analysis, made)
    second = next_revision(session, analysis)
    again = made_result(sop_instance_uid=made.sop_instance_uid)
    finished(session, second, again)

    (former,) = former_of(session, next_revision(session, second))

    assert (former.made_in, former.kept_until) == (1, 2)
    assert former.made.place == again.place


def test_archives_that_accepted_an_object_hold_it(session: Session, analysis: Analysis) -> None:
    accepted(session, analysis, made_result(), archive="accepted", research="refused")

    (former,) = former_of(session, next_revision(session, analysis))

    assert former.accepted_by == {"archive"}


def test_revision_that_failed_has_nothing(session: Session, analysis: Analysis) -> None:
    outcomes.fail_analysis(session, claimed(session, analysis), reason="broken", at=after(1))

    assert former_of(session, next_revision(session, analysis)) == []


def test_results_of_another_study_are_not_told(session: Session, analysis: Analysis) -> None:
    finished(session, analysis, made_result())

    assert former_of(session, analysis_row(session, study_row(session, "1.2.3"), revision=2)) == []
