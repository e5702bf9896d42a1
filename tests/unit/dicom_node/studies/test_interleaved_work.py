"""Workers, nodes and operators at one piece of work at once, stopped at every statement."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from node_factory import (
    LEASE,
    NOW,
    STUDY_UID,
    after,
    analysis_row,
    claimed,
    delivery_row,
    instance_row,
    made_result,
    mammogram,
    put,
    result_row,
    study_row,
)
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Action, Scene, Scenes
from sqlalchemy.orm import Session

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.due import due_work, outcomes, work
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import (
    Analysis,
    Delivery,
    DeliveryOutcome,
    Instance,
    Study,
)
from dicom_node.studies.operator_actions import cancel_study, retry_study


def overtaken(step: Callable[[Session], Any]) -> Callable[[Session], Any]:
    """Return None instead of an error where the claim is no longer valid, as workers do."""

    def act(session: Session) -> Any:
        try:
            return step(session)
        except OvertakenError:
            return None

    return act


@SWITCHES
@pytest.mark.parametrize("table", [Analysis, Delivery])
def test_of_two_claims_one_is_given_and_none_fails(
    scenes: Scenes, table: type[Any], switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            row = analysis_row(session, study_row(session))
            if table is Delivery:
                row = delivery_row(session, row)

        def claim(session: Session) -> Any:
            return work.claim(session, table, row.id, holder="h", lease=LEASE, at=NOW)

        def check(*taken: Any) -> None:
            assert sorted(one is None for one in taken) == [False, True]

        return (scenes.writing(claim), scenes.writing(claim)), check

    scenes.play(scene, switches=switches)


def running_analysis(session: Session) -> tuple[Study, Analysis, work.Claim]:
    study = study_row(session)
    instance_row(session, study)
    analysis = analysis_row(session, study)
    return study, analysis, claimed(session, analysis)


def finish(held: work.Claim, *, to: Sequence[str] = ("archive",)) -> Callable[[Session], Any]:
    return overtaken(
        lambda session: outcomes.finish_analysis(
            session,
            held,
            findings="{}",
            bundle="b",
            results=[made_result()],
            destinations=list(to),
            at=after(50),
        )
    )


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_image_that_arrives_as_its_analysis_ends_is_analysed_next(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            _, _, held = running_analysis(session)
        reception = scenes.reception()
        put(reception.spool, mammogram())

        def check(*_: Any) -> None:
            assert scenes.one(Study).state is StudyState.OPEN
            assert scenes.one(Analysis).state in {AnalysisState.DONE, AnalysisState.SUPERSEDED}
            (image,) = (row for row in scenes.all(Instance) if row.association == "a" * 16)
            assert image.state is InstanceState.REGISTERED

        return (scenes.writing(finish(held)), reception.registrar.register_all), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_cancelled_analysis_ends_one_way(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            _, _, held = running_analysis(session)

        def check(finished: Any, cancelled: list[str]) -> None:
            ended = AnalysisState.CANCELLED if cancelled else AnalysisState.DONE
            assert scenes.one(Analysis).state is ended
            assert (finished is None) == bool(cancelled)

        cancel = scenes.writing(lambda session: cancel_study(session, STUDY_UID, at=NOW))
        return (scenes.writing(finish(held)), cancel), check

    scenes.play(scene, switches=switches)


def delivery_of_former_revision(session: Session) -> tuple[work.Claim, work.Claim]:
    """Return the claims on a delivery under way and on the analysis that supersedes it."""
    study = study_row(session, revision=2)
    former = analysis_row(session, study, state=AnalysisState.DONE)
    delivery = claimed(session, delivery_row(session, former))
    return delivery, claimed(session, analysis_row(session, study, revision=2), at=after(5))


def nothing_old_is_due(scenes: Scenes) -> None:
    waiting = {
        delivery.analysis_id
        for delivery in scenes.all(Delivery)
        if delivery.state is DeliveryState.DUE
    }
    superseded = {one.id for one in scenes.all(Analysis) if one.state is AnalysisState.SUPERSEDED}
    assert len(superseded) == 1
    assert not waiting & superseded


@SWITCHES
def test_postponed_delivery_of_a_revision_that_is_just_superseded_is_given_up(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            delivery, analysis = delivery_of_former_revision(session)

        def postpone(session: Session) -> None:
            outcomes.postpone_delivery(
                session, delivery, reason="down", due_at=after(60), at=after(50)
            )

        actions = (scenes.writing(finish(analysis)), scenes.writing(overtaken(postpone)))
        return actions, lambda *_: nothing_old_is_due(scenes)

    scenes.play(scene, switches=switches)


@SWITCHES
def test_lost_delivery_of_a_revision_that_is_just_superseded_is_given_up(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            _, analysis = delivery_of_former_revision(session)

        def recover(session: Session) -> None:
            work.recover_lost(session, Delivery, maximum_attempts=9, at=after(100))

        def check(*_: Any) -> None:
            recover_again = scenes.writing(recover)
            recover_again()
            nothing_old_is_due(scenes)

        return (scenes.writing(finish(analysis)), scenes.writing(recover)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_lost_work_is_recovered_once_by_two_nodes(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            running_analysis(session)

        def recover(session: Session) -> int:
            return len(work.recover_lost(session, Analysis, maximum_attempts=9, at=after(100)))

        def check(*found: int) -> None:
            assert sum(found) == 1
            assert scenes.one(Analysis).state is AnalysisState.DUE

        return (scenes.writing(recover), scenes.writing(recover)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_work_given_back_while_its_message_is_noted_gets_another(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            analysis = analysis_row(session, study_row(session))

        def note(session: Session) -> None:
            due_work.note_dispatched(session, Analysis, [analysis], at=after(1))

        def attempt(session: Session) -> None:
            held = claimed(session, session.get_one(Analysis, analysis.id))
            outcomes.give_back_analysis(session, held, reason="", due_at=after(9), at=after(2))

        def check(*_: Any) -> None:
            assert scenes.one(Analysis).dispatched_at is None

        return (scenes.writing(note), scenes.writing(attempt)), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_two_operators_who_retry_get_one_analysis(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            study = study_row(session)
            instance_row(session, study)
            analysis = analysis_row(session, study, state=AnalysisState.DONE)
            delivery_row(session, analysis, state=DeliveryState.ACCEPTED)

        def check(*done: list[str]) -> None:
            assert sorted(map(len, done)) == [0, 1]
            assert [row.revision for row in scenes.all(Analysis)] == [1, 2]

        retry = scenes.writing(lambda session: retry_study(session, STUDY_UID, at=NOW))
        return (retry, retry), check

    scenes.play(scene, switches=switches)


@SWITCHES
def test_object_that_an_archive_accepted_stays_delivered_whoever_hears_last(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            analysis = analysis_row(session, study_row(session), state=AnalysisState.DONE)
            result = result_row(session, analysis)
            held = claimed(session, delivery_row(session, analysis))

        def record(outcome: str) -> Action:
            return scenes.writing(
                lambda session: outcomes.record_outcome(
                    session, held, result.id, outcome=outcome, status="", at=NOW
                )
            )

        def check(*_: Any) -> None:
            assert scenes.one(DeliveryOutcome).outcome == "accepted"

        return (record("accepted"), record("postponed")), check

    scenes.play(scene, switches=switches)
