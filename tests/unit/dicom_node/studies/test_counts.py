"""Counts of the ledger add up, and say of each study what the list of studies says."""

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest
from node_factory import analysis_row, delivery_row, instance_row, study_row
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.waits import Waits
from dicom_node.studies.ledger.queries import reading
from dicom_node.studies.ledger.queries.counts import CONDITIONS, LedgerCounts, ledger_counts
from dicom_node.studies.ledger.queries.remarks import refused_by_rule
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study

KNOWN = frozenset({"archive"})
"""The other destination, "gone", is not in the settings: what is due for it is held."""

PAIRS = list(itertools.product([None, *DeliveryState], [None, *DeliveryState]))


def numbers() -> Iterator[str]:
    return (f"1.2.3.{number}" for number in itertools.count(1))


def fill(session: Session) -> None:
    """Enter a study of every kind, with revisions before it, and those of the canary."""
    uid = numbers()
    remarks = ["", "nothing to analyse", "two patients", refused_by_rule("men", "not wanted")]
    for state, remark in itertools.product(StudyState, remarks):
        study_row(session, next(uid), state=state, remark=remark)
        analysis_row(session, study_row(session, next(uid), state=state, remark=remark))
    for state in AnalysisState:
        study = study_row(session, next(uid), revision=2)
        former = analysis_row(session, study, state=AnalysisState.DONE)
        delivery_row(session, former, state=DeliveryState.REFUSED)
        analysis_row(session, study, revision=2, state=state)
    for known, gone in PAIRS:
        done = analysis_row(session, study_row(session, next(uid)), state=AnalysisState.DONE)
        for destination, sent in (("archive", known), ("gone", gone)):
            if sent is not None:
                delivery_row(session, done, destination=destination, state=sent)
    study = study_row(session, next(uid), state=StudyState.OPEN)
    for kept in InstanceState:
        instance_row(session, study, state=kept)
        instance_row(session, study, state=kept)
    for reason in ("unreadable-object", "unreadable-object", "missing-uid"):
        instance_row(session, None, state=InstanceState.SET_ASIDE, reason=reason)
    session.flush()


def enter_canary(session: Session) -> None:
    canary = study_row(session, CANARY_STUDY)
    instance_row(session, canary)
    instance_row(session, canary, state=InstanceState.SET_ASIDE, reason="unreadable-object")
    analysis = analysis_row(session, canary, state=AnalysisState.DONE)
    delivery_row(session, analysis, destination="canary", state=DeliveryState.ACCEPTED)
    delivery_row(session, analysis, destination="archive", state=DeliveryState.ACCEPTED)
    session.flush()


def counted(session: Session) -> LedgerCounts:
    return ledger_counts(session, destinations=KNOWN)


def test_studies_are_counted_as_the_list_of_studies_calls_them(session: Session) -> None:
    fill(session)
    waits = Waits.read(session, destinations=KNOWN)
    listed: Counter[str] = Counter()
    for study in session.scalars(select(Study)):
        is_erased = study.state is StudyState.ERASED
        listed["erased" if is_erased else reading.summary(session, study, waits).condition] += 1

    found = counted(session).studies

    assert {name: count for name, count in found.items() if count} == listed
    assert set(listed) == set(CONDITIONS), "a study of every condition was made"
    assert tuple(found) == CONDITIONS


def test_all_counts_add_up_to_the_rows(session: Session) -> None:
    fill(session)

    found = counted(session)

    assert sum(found.studies.values()) == len(session.scalars(select(Study.id)).all())
    assert sum(found.instances.values()) == len(session.scalars(select(Instance.id)).all())
    assert sum(found.analyses.values()) == len(session.scalars(select(Analysis.id)).all())
    assert sum(found.deliveries.values()) == len(session.scalars(select(Delivery.id)).all())
    assert sum(found.set_aside.values()) == found.instances[InstanceState.SET_ASIDE]
    assert found.set_aside == {"": 2, "unreadable-object": 2, "missing-uid": 1}


def test_canary_counts_as_nothing(session: Session) -> None:
    fill(session)
    before = counted(session)

    enter_canary(session)

    assert counted(session) == before


def test_empty_ledger_counts_nothing(session: Session) -> None:
    found = counted(session)

    assert {*found.studies.values(), *found.instances.values(), *found.analyses.values()} == {0}
    assert (found.set_aside, found.deliveries) == ({}, {})


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_number_of_statements_does_not_grow_with_the_studies(database: Database) -> None:
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    def asked() -> int:
        statements.clear()
        with database.reading() as session:
            counted(session)
        return len(statements)

    event.listen(database.engine, "before_cursor_execute", note)
    of_an_empty_one = asked()
    with database.writing() as session:
        fill(session)

    assert asked() == of_an_empty_one
