"""A corrected image beside whoever decides on its study, stopped at every statement and move."""

from typing import Any

import pytest
from node_factory import (
    LEASE,
    NOW,
    Reception,
    after,
    analysis_row,
    claimed,
    delivery_row,
    mammogram,
    put,
)
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Scene, Scenes
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.facts.likeness import Likeness, Sameness
from dicom_node.studies.ledger.due import outcomes, work
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study
from dicom_node.studies.settling import Patience, settle_if_complete

SELDOM_IN_POSTGRESQL = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
"""For scenes of which one in PostgreSQL is enough at each change."""


def with_a_correction(scenes: Scenes) -> Reception:
    """Return a reception with one registered image, whose corrected copy waits."""
    reception = scenes.reception()
    # What is compared is no matter here, and every order would decode it.
    reception.compare = lambda *_: Likeness(
        verdict=Sameness.CORRECTED, changed=("PatientID", "PatientName")
    )
    image = mammogram()
    reception.receive(image)
    image.PatientID, image.PatientName = "RICHTIG-1", "Richtig^Rita"
    put(reception.spool, image)
    return reception


def settle(session: Session) -> Study | None:
    (study_id,) = session.scalars(select(Study.id))
    patience = Patience(idle=NOW - NOW, grace=NOW - NOW)
    at = after(10**9)  # everything has come long ago
    return settle_if_complete(session, study_id, sent=(), patience=patience, at=at, due_at=NOW)


def require_only_the_correction(scenes: Scenes, reception: Reception) -> None:
    """Assert that the corrected copy is what is kept, with its file, and nothing else is."""
    reception.registrar.finish_moves()
    former, row = scenes.all(Instance)
    assert (former.state, former.place) == (InstanceState.REPLACED, "")
    assert row.state is InstanceState.REGISTERED
    assert [file.name for file in reception.files("studies")] == [f"{row.receipt}.dcm"]
    assert scenes.one(Study).state is StudyState.OPEN


@SELDOM_IN_POSTGRESQL
@SWITCHES
def test_study_that_settles_during_a_correction_is_analysed_as_corrected(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = with_a_correction(scenes)

        def check(*_: Any) -> None:
            analyses = scenes.all(Analysis)
            if scenes.one(Study).state is StudyState.OPEN:
                require_only_the_correction(scenes, reception)
                assert {row.state for row in analyses} <= {AnalysisState.SUPERSEDED}
            else:
                assert [row.state for row in analyses] == [AnalysisState.DUE]
                kept = [
                    row for row in scenes.all(Instance) if row.state is InstanceState.REGISTERED
                ]
                assert [row.reason for row in kept] == ["corrected"]

        return (reception.registrar.register_all, scenes.writing(settle)), check

    scenes.play(scene, switches=switches)


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_analysis_that_ends_during_a_correction_sends_nothing(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = with_a_correction(scenes)
        with scenes.database.writing() as session:
            study = session.scalars(select(Study)).one()
            study.state, study.revision = StudyState.SETTLED, 1
            held = claimed(session, analysis_row(session, study))

        def finish(session: Session) -> None:
            try:
                outcomes.finish_analysis(
                    session,
                    held,
                    findings="{}",
                    bundle="stand-in 1 00",
                    results=(),
                    destinations=["archive"],
                    at=NOW,
                )
            except OvertakenError:
                session.rollback()

        def check(*_: Any) -> None:
            require_only_the_correction(scenes, reception)
            assert scenes.one(Analysis).state is AnalysisState.SUPERSEDED
            assert {row.state for row in scenes.all(Delivery)} <= {DeliveryState.EXPIRED}

        return (reception.registrar.register_all, scenes.writing(finish)), check

    scenes.play(scene, switches=switches)


@SELDOM_IN_POSTGRESQL
@SWITCHES
def test_delivery_that_fails_during_a_correction_is_not_due_again(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = with_a_correction(scenes)
        with scenes.database.writing() as session:
            study = session.scalars(select(Study)).one()
            study.state, study.revision = StudyState.SETTLED, 1
            analysis = analysis_row(session, study, state=AnalysisState.DONE)
            delivery_id = delivery_row(session, analysis).id

        def attempt() -> None:
            with scenes.database.writing() as session:
                taken = work.claim(session, Delivery, delivery_id, holder="h", lease=LEASE, at=NOW)
            if taken is not None:
                with scenes.database.writing() as session:
                    outcomes.postpone_delivery(session, taken[0], reason="away", due_at=NOW, at=NOW)

        def check(*_: Any) -> None:
            require_only_the_correction(scenes, reception)
            assert scenes.one(Delivery).state is DeliveryState.EXPIRED

        return (reception.registrar.register_all, attempt), check

    scenes.play(scene, switches=switches)
