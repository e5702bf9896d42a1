from datetime import datetime, timedelta
from typing import Any

import pytest
from node_factory import (
    FOR_PRESENTATION,
    NOW,
    STUDY_UID,
    Reception,
    after,
    analysis_row,
    four_views,
    history,
    instance_row,
    mammogram,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.ledger.states import AnalysisState, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Study
from dicom_node.studies.settling import (
    Patience,
    next_quiet,
    quiet_studies,
    settle_if_complete,
)

CARRIER, OTHER = "c" * 16, "e" * 16
PATIENCE = Patience(idle=timedelta(seconds=60), grace=timedelta(seconds=5))


def settled(session: Session, seconds: float, *sent: SentObject) -> list[str]:
    return settled_at(session, after(seconds), *sent)


def settled_at(session: Session, at: datetime, *sent: SentObject) -> list[str]:
    studies = [
        settle_if_complete(session, study_id, sent=sent, patience=PATIENCE, at=at)
        for _, study_id in quiet_studies(session, patience=PATIENCE, at=at)
    ]
    return [study.study_instance_uid for study in studies if study is not None]


def open_study(session: Session, **columns: Any) -> Study:
    return study_row(session, state=StudyState.OPEN, revision=0, **columns)


def sent(study: str | None, seconds: float, *, is_coming: bool, by: str = CARRIER) -> SentObject:
    """Return what is known of an object `seconds` after the last one of the study came."""
    return SentObject(
        association=by, study_instance_uid=study, is_coming=is_coming, since=after(seconds)
    )


def with_standard_views(session: Session, study: Study, **columns: Any) -> None:
    for view in ("CC", "MLO"):
        for laterality in "RL":
            instance_row(session, study, view, laterality, **columns)


@pytest.mark.parametrize(("seconds", "expected"), [(59.9, []), (60, [STUDY_UID])])
def test_study_settles_when_nothing_came_for_the_idle_time(
    session: Session, seconds: float, expected: list[str]
) -> None:
    instance_row(session, open_study(session))

    assert settled(session, seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, []), (5, [STUDY_UID])])
def test_study_of_four_views_settles_after_the_grace(
    session: Session, seconds: float, expected: list[str]
) -> None:
    with_standard_views(session, open_study(session))

    assert settled(session, seconds) == expected


@pytest.mark.parametrize(
    "columns",
    [
        {"left_out_reason": "spot compression view"},
        {"state": InstanceState.SET_ASIDE},
        {"presentation_intent": "FOR PROCESSING"},
    ],
)
def test_view_that_is_not_analysed_does_not_shorten_the_wait(
    session: Session, columns: dict[str, Any]
) -> None:
    study = open_study(session)
    for view, laterality in (("CC", "R"), ("CC", "L"), ("MLO", "R")):
        instance_row(session, study, view, laterality)
    instance_row(session, study, "MLO", "L", **columns)

    assert settled(session, 30) == []


@pytest.mark.parametrize(
    "latest",
    [
        pytest.param(sent(STUDY_UID, 0, is_coming=False), id="silent after the study"),
        pytest.param(sent(STUDY_UID, 4, is_coming=False), id="a repeat or a refusal lately"),
        pytest.param(sent(STUDY_UID, 900, is_coming=True, by=OTHER), id="more of it is coming"),
        pytest.param(sent(None, 4, is_coming=True), id="coming, not known, begun in time"),
        pytest.param(sent(None, 4, is_coming=False), id="silent after what nobody could read"),
    ],
)
def test_what_may_be_of_a_study_holds_it_open(session: Session, latest: SentObject) -> None:
    with_standard_views(session, open_study(session), association=CARRIER)

    assert settled(session, 1000, latest) == []


@pytest.mark.parametrize(
    "latest",
    [
        pytest.param(sent(STUDY_UID, 9, is_coming=False), id="repeats for ever"),
        pytest.param(sent("1.2.9", 1, is_coming=False), id="silent after another study"),
        pytest.param(sent("1.2.9", 1, is_coming=True), id="slow object of another study"),
        pytest.param(sent(None, 9, is_coming=True), id="coming, not known, begun too late"),
        pytest.param(sent(None, 4, is_coming=True, by=OTHER), id="not known, from somebody else"),
    ],
)
def test_what_is_of_another_study_or_too_late_holds_nothing(
    session: Session, latest: SentObject
) -> None:
    with_standard_views(session, open_study(session), association=CARRIER)

    assert settled(session, 1000, latest) == [STUDY_UID]


def test_study_that_is_not_whole_waits_for_an_unknown_object_for_longer(session: Session) -> None:
    instance_row(session, open_study(session), association=CARRIER)
    unknown = sent(None, 59, is_coming=True)

    assert settled(session, 1000, unknown) == []


def test_image_that_is_not_at_its_place_yet_holds_its_study(session: Session) -> None:
    study = open_study(session)
    with_standard_views(session, study)
    instance_row(session, study, state=InstanceState.RECEIVED)

    assert settled(session, 1000) == []


def test_settled_study_has_an_analysis_due(session: Session) -> None:
    study = open_study(session)
    instance_row(session, study)

    settled(session, 60)

    analysis = session.scalars(select(Analysis)).one()
    assert (study.state, study.revision) == (StudyState.SETTLED, 1)
    assert (analysis.state, analysis.revision) == (AnalysisState.DUE, 1)
    assert (analysis.due_at, analysis.dispatched_at) == (after(60), None)


def test_settling_is_written_in_the_history(session: Session) -> None:
    instance_row(session, open_study(session))

    settled(session, 60)

    assert list(history(session, "study")) == [("open", "settle", "settled")]
    assert list(history(session, "analysis")) == [("", "new", "due")]


def test_study_with_nothing_to_analyse_settles_without_an_analysis(session: Session) -> None:
    study = open_study(session)
    instance_row(session, study, state=InstanceState.SET_ASIDE, reason="tomosynthesis")

    settled(session, 60)

    assert (study.state, study.remark) == (StudyState.SETTLED, "nothing to analyse")
    assert study.revision == 0
    assert session.scalars(select(Analysis)).all() == []


def test_study_of_left_out_images_has_nothing_to_analyse(session: Session) -> None:
    study = open_study(session)
    instance_row(session, study, left_out_reason="quality control image")

    settled(session, 60)

    assert study.remark == "nothing to analyse"


def test_settled_study_is_left_alone(session: Session) -> None:
    instance_row(session, study_row(session))

    assert settled(session, 1000) == []


def test_reopened_study_settles_as_the_next_revision(session: Session) -> None:
    study = open_study(session, remark="nothing to analyse")
    study.revision = 1
    analysis_row(session, study, state=AnalysisState.DONE)
    instance_row(session, study)

    settled(session, 60)

    assert (study.revision, study.remark) == (2, "")
    revisions = session.scalars(select(Analysis.revision).order_by(Analysis.revision))
    assert list(revisions) == [1, 2]


def test_studies_settle_one_without_the_other(session: Session) -> None:
    instance_row(session, open_study(session, uid="1.2.1"))
    instance_row(session, open_study(session, uid="1.2.2", last_received_at=after(30)))

    assert settled(session, 60) == ["1.2.1"]


def test_wait_begins_anew_with_every_image(reception: Reception) -> None:
    first, *_, last = (reception.receive(one) for one in four_views())

    assert last.received_at > first.received_at
    assert reception.study().last_received_at == last.received_at


def test_received_study_is_analysed_from_what_it_holds(reception: Reception) -> None:
    for dataset in four_views():
        reception.receive(dataset)
    last = reception.receive(mammogram(QualityControlImage="YES")).received_at

    with reception.database.writing() as session:
        settled_at(session, last + timedelta(seconds=5))

    assert [row.state for row in reception.rows(Analysis)] == [AnalysisState.DUE]
    assert last > NOW
    assert {row.sop_class_uid for row in reception.instances()} == {FOR_PRESENTATION}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, after(5)), (4.9, after(5)), (5, after(60)), (59.9, after(60)), (60, None)],
)
def test_next_moment_at_which_a_study_may_be_complete_is_known(
    session: Session, seconds: float, expected: datetime | None
) -> None:
    open_study(session)
    open_study(session, uid="1.2.2", last_received_at=after(-1000))
    study_row(session, uid="1.2.3", last_received_at=after(2))

    assert next_quiet(session, patience=PATIENCE, at=after(seconds)) == expected
