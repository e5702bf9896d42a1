"""What is urgent is told and begun first; what is off-peak only within its hours."""

from datetime import UTC, datetime

import pytest
from node_factory import (
    LEASE,
    NOW,
    Reception,
    after,
    analysis_row,
    claimed,
    delivery_row,
    finished,
    four_views,
    made_result,
    mammogram,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.priority import Priority
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.studies.ledger.due.due_work import due
from dicom_node.studies.ledger.due.pauses import Holds
from dicom_node.studies.ledger.due.work import claim
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study
from dicom_node.studies.off_peak import off_peak_of
from dicom_node.studies.settling import begin_analysis

STAT, ROUTINE, OFF_PEAK = Priority.STAT.value, Priority.ROUTINE.value, Priority.OFF_PEAK.value
BY_DAY = Holds(is_off_peak=False)


def analysis_of(session: Session, number: int, priority: int, **columns: object) -> Analysis:
    study = study_row(session, f"1.2.{number}", priority=priority)
    return analysis_row(session, study, priority=priority, **columns)


def test_due_work_comes_by_priority_and_then_the_newest_first(session: Session) -> None:
    rows = [
        analysis_of(session, number, priority, due_at=after(number))
        for number, priority in enumerate([OFF_PEAK, ROUTINE, STAT, ROUTINE, STAT, OFF_PEAK])
    ]

    assert [rows.index(one) for one in due(session, Analysis, at=after(9))] == [4, 2, 3, 1, 5, 0]
    assert [rows.index(one) for one in due(session, Analysis, at=after(9), holds=BY_DAY)] == [
        4,
        2,
        3,
        1,
    ]


def test_urgent_analysis_is_begun_in_place_of_the_one_that_a_message_names(
    session: Session,
) -> None:
    named = analysis_of(session, 1, ROUTINE, dispatched_at=NOW)
    urgent = analysis_of(session, 2, STAT)

    taken = claim(session, Analysis, named.id, holder="host:1", lease=LEASE, at=NOW)

    assert taken is not None
    assert taken[0].id == urgent.id
    session.refresh(named)
    assert (named.state, named.dispatched_at, named.attempts) == (AnalysisState.DUE, None, 0)


def test_urgent_analysis_that_was_told_too_is_begun_at_the_first_message(session: Session) -> None:
    named = analysis_of(session, 1, ROUTINE, dispatched_at=NOW)
    urgent = analysis_of(session, 2, STAT, dispatched_at=NOW)

    taken = claim(session, Analysis, named.id, holder="host:1", lease=LEASE, at=NOW)

    assert taken is not None
    assert taken[0].id == urgent.id
    assert claim(session, Analysis, urgent.id, holder="host:1", lease=LEASE, at=NOW) is None


def test_work_of_one_priority_is_begun_as_its_messages_come(session: Session) -> None:
    named = analysis_of(session, 1, STAT, dispatched_at=NOW)
    analysis_of(session, 2, STAT, due_at=after(1))

    assert claimed(session, named, at=after(2)).id == named.id


def test_off_peak_analysis_is_not_begun_by_day_and_gets_another_message(session: Session) -> None:
    waits = analysis_of(session, 1, OFF_PEAK, dispatched_at=NOW)

    taken = claim(session, Analysis, waits.id, holder="host:1", lease=LEASE, at=NOW, holds=BY_DAY)

    assert taken is None
    session.refresh(waits)
    assert (waits.state, waits.dispatched_at) == (AnalysisState.DUE, None)
    assert claimed(session, waits).id == waits.id


def test_never_tried_delivery_is_begun_in_place_of_one_that_failed(session: Session) -> None:
    failed, new = (
        delivery_row(
            session, analysis_of(session, attempts, ROUTINE, state=AnalysisState.DONE), **columns
        )
        for attempts, columns in enumerate(({"attempts": 3, "dispatched_at": NOW}, {}))
    )

    assert claim_of(session, failed) == new.id


def test_message_about_one_destination_begins_nothing_for_another(session: Session) -> None:
    done = analysis_of(session, 1, ROUTINE, state=AnalysisState.DONE)
    named = delivery_row(session, done, destination="healthy", dispatched_at=NOW)
    delivery_row(session, done, destination="away", priority=STAT)

    assert claim_of(session, named) == named.id


def test_one_worker_at_most_waits_for_a_destination_that_keeps_silent(session: Session) -> None:
    rows = [
        delivery_row(
            session,
            analysis_of(session, number, ROUTINE, state=AnalysisState.DONE),
            destination="away",
            attempts=2,
        )
        for number in range(3)
    ]
    assert claim_of(session, rows[0]) == rows[0].id

    assert claim_of(session, rows[1]) is None

    delivery_row(
        session,
        analysis_of(session, 9, ROUTINE, state=AnalysisState.DONE),
        destination="away",
        state=DeliveryState.ACCEPTED,
        finished_at=NOW,
    )
    assert claim_of(session, rows[1]) == rows[1].id


def claim_of(session: Session, row: Delivery) -> int | None:
    taken = claim(session, Delivery, row.id, holder="host:1", lease=LEASE, at=after(1))
    return None if taken is None else taken[0].id


def test_priority_of_a_study_is_that_of_its_analysis_and_deliveries(session: Session) -> None:
    study = study_row(session, priority=STAT)
    analysis = begin_analysis(session, study, because="", at=NOW)

    (delivery,) = finished(session, analysis, made_result())

    assert (analysis.priority, delivery.priority) == (STAT, STAT)


def priority_of(reception: Reception) -> int:
    with reception.database.reading() as session:
        return session.scalars(select(Study.priority)).one()


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("STAT", STAT),
        ("HIGH", STAT),
        ("ROUTINE", ROUTINE),
        ("MEDIUM", ROUTINE),
        (" low ", OFF_PEAK),
        ("SOON", ROUTINE),
        ("", ROUTINE),
        (None, ROUTINE),
    ],
)
def test_requested_procedure_priority_is_that_of_the_study(
    reception: Reception, stated: str | None, expected: int
) -> None:
    reception.receive(mammogram(RequestedProcedurePriority=stated))

    assert priority_of(reception) == expected


def test_priority_within_the_request_attributes_counts(reception: Reception) -> None:
    item = mammogram(RequestedProcedurePriority="STAT")

    reception.receive(mammogram(RequestAttributesSequence=[item]))

    assert priority_of(reception) == STAT


def test_most_urgent_image_decides_for_its_study(reception: Reception) -> None:
    first, second, *_ = four_views()
    second.RequestedProcedurePriority = "STAT"

    reception.receive(first)
    reception.receive(second)

    assert priority_of(reception) == STAT


@pytest.mark.parametrize(
    ("titles", "expected"),
    [("stat_senders", STAT), ("off_peak_senders", OFF_PEAK)],
)
def test_setting_for_a_sender_decides_before_its_images(
    reception: Reception, titles: str, expected: int
) -> None:
    settings = ReceiveSettings(**{titles: ("ROOM1",)})
    reception = Reception(reception.spool, reception.database, settings)

    reception.receive(mammogram(RequestedProcedurePriority="ROUTINE"), calling_ae_title="ROOM1")

    assert priority_of(reception) == expected


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        ("20:00-06:00", datetime(2026, 3, 4, 18, 59, tzinfo=UTC), False),
        ("20:00-06:00", datetime(2026, 3, 4, 19, 0, tzinfo=UTC), True),  # 20:00 in Berlin
        ("20:00-06:00", datetime(2026, 3, 4, 4, 59, tzinfo=UTC), True),
        ("20:00-06:00", datetime(2026, 3, 4, 5, 0, tzinfo=UTC), False),
        ("20:00-06:00", datetime(2026, 7, 4, 4, 0, tzinfo=UTC), False),  # summer time
        ("12:00-13:00", datetime(2026, 3, 4, 11, 30, tzinfo=UTC), True),
        ("12:00-13:00", datetime(2026, 3, 4, 12, 0, tzinfo=UTC), False),
        (None, datetime(2026, 3, 4, 12, 0, tzinfo=UTC), True),
    ],
)
def test_off_peak_hours_are_those_of_the_site(
    hours: str | None, at: datetime, expected: bool
) -> None:
    settings = Settings(work={"off_peak_hours": hours}, results={"time_zone": "Europe/Berlin"})

    assert off_peak_of(settings)(at) is expected
