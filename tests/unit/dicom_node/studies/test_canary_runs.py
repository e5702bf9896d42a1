"""Of canary studies the ledger keeps how they went; of the study itself only the last one."""

import pytest
from node_factory import (
    NOW,
    STUDY_UID,
    after,
    analysis_row,
    delivery_row,
    instance_row,
    result_row,
    study_row,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.canary_runs import (
    CanaryFacts,
    first_scores,
    last_run,
    note_run,
    remove_canary,
)
from dicom_node.studies.ledger.queries.reading import summaries
from dicom_node.studies.ledger.site_tables import CanaryRun
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Delivery, Instance, Study

A_DAY = 86400


def run(days: float, broken: str = "") -> CanaryFacts:
    return CanaryFacts(
        began_at=after(days * A_DAY),
        seconds={"receive": 1.5, "analyse": 2.0},
        broken=broken,
        reason="silent" if broken else "",
    )


def test_former_canary_study_is_removed_and_nothing_else(session: Session) -> None:
    other, canary = study_row(session, STUDY_UID), study_row(session, CANARY_STUDY)
    kept = instance_row(session, other)
    image = instance_row(session, canary)
    done = analysis_row(session, canary, state=AnalysisState.DONE)
    result = result_row(session, done)
    delivery_row(session, done, destination="canary")

    places = remove_canary(session)

    assert places == sorted([image.place, result.place])
    assert [one.id for one in session.scalars(select(Study))] == [other.id]
    assert [one.id for one in session.scalars(select(Instance))] == [kept.id]
    assert session.scalars(select(Delivery)).all() == []
    assert remove_canary(session) == []


@pytest.mark.parametrize(
    ("analysis", "delivery"),
    [
        (AnalysisState.RUNNING, DeliveryState.DUE),
        (AnalysisState.DONE, DeliveryState.SENDING),
    ],
)
def test_former_canary_study_in_the_hands_of_a_worker_is_left_there(
    session: Session, analysis: AnalysisState, delivery: DeliveryState
) -> None:
    row = analysis_row(session, study_row(session, CANARY_STUDY), state=analysis)
    delivery_row(session, row, state=delivery)

    assert remove_canary(session) is None
    assert len(session.scalars(select(Study)).all()) == 1


def test_canary_study_is_in_no_list_of_studies(session: Session) -> None:
    study_row(session, CANARY_STUDY, last_received_at=after(60))
    study_row(session, STUDY_UID)

    assert [one.study_instance_uid for one in summaries(session, limit=1)] == [STUDY_UID]


def test_runs_are_kept_for_a_month_and_the_first_scores_for_good(session: Session) -> None:
    for days in range(40):
        note_run(session, run(days), key="ab", scores=f"[{days}]")
    note_run(session, run(40, "deliver"), key="", scores="")

    assert first_scores(session, "ab") == "[0]"
    assert first_scores(session, "cd") is None
    assert len(session.scalars(select(CanaryRun)).all()) == 32


def test_words_say_how_old_the_last_one_is_and_what_was_broken(session: Session) -> None:
    assert last_run(session) is None
    note_run(session, run(0), key="ab", scores="[]")
    whole = last_run(session)
    note_run(session, run(0, "deliver"), key="", scores="")
    broken = last_run(session)

    assert whole is not None
    assert broken is not None
    assert whole.began_at == NOW
    assert whole.in_words(after(90)) == "canary: 1 min 30 s ago everything worked, in 3.5 s"
    assert broken.in_words(after(5)) == "canary: 0 min 5 s ago phase deliver was broken: silent"
