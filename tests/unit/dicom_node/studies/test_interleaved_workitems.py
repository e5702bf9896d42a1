"""Nodes before one ledger that find the same workitem at once: one of them performs it."""

from typing import Any

from node_factory import NOW
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Action, Scene, Scenes
from sqlalchemy.exc import IntegrityError

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.procedure_steps import workitems
from dicom_node.studies.ledger.procedure_steps.tables import Workitem, WorkitemState

UID, STUDY = "1.2.3", "1.2.4"


def entering(scenes: Scenes, spool_id: int) -> Action:
    def enter(session: Any) -> str | None:
        row = workitems.enter_claim(
            session,
            UID,
            transaction_uid=f"2.25.{spool_id}",
            spool_id=spool_id,
            study_instance_uid=STUDY,
            inputs=["1.2.5"],
            patient_digest="",
            code=("1", "99", "analyse"),
            priority=1,
            at=NOW,
        )
        return None if row is None else row.transaction_uid

    def act() -> str | None:
        try:
            entered: str | None = scenes.writing(enter)()
        except IntegrityError:
            return None
        return entered

    return act


def refusing(scenes: Scenes) -> Action:
    def act() -> bool:
        try:
            noted: bool = scenes.writing(
                lambda session: workitems.note_refused(session, UID, "not ours", at=NOW)
            )()
        except IntegrityError:
            return False
        return noted

    return act


def refused_before(scenes: Scenes) -> None:
    with scenes.database.writing() as session:
        workitems.note_refused(session, UID, "its images are away", at=NOW)


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_workitem_that_was_refused_is_claimed_by_one_node(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        refused_before(scenes)

        def check(*claimed: str | None) -> None:
            (ours,) = [one for one in claimed if one is not None]
            row = scenes.one(Workitem)
            assert (row.state, row.transaction_uid) == (WorkitemState.CLAIMING, ours)
            assert ours == f"2.25.{row.spool_id}"

        return [entering(scenes, 1), entering(scenes, 2)], check

    assert scenes.play(scene, switches=switches) > 1


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_refusal_by_one_node_takes_no_claim_from_another(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        refused_before(scenes)

        def check(claimed: str | None, _noted: bool) -> None:
            row = scenes.one(Workitem)
            assert claimed is not None
            assert (row.state, row.transaction_uid) == (WorkitemState.CLAIMING, claimed)

        return [entering(scenes, 1), refusing(scenes)], check

    assert scenes.play(scene, switches=switches) > 1


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_workitem_of_an_erased_study_is_canceled_whatever_its_performer_does(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        entering(scenes, 1)()
        with scenes.database.writing() as session:
            workitems.change(session, workitem(session), state=WorkitemState.HELD)
        row = scenes.one(Workitem)

        def complete() -> bool:
            def act(session: Any) -> None:
                workitems.change(session, row, state=WorkitemState.COMPLETING, analysis_revision=1)

            try:
                scenes.writing(act)()
            except OvertakenError:
                return False
            return True

        erase = scenes.writing(lambda session: workitems.erase_workitems(session, STUDY, at=NOW))

        def check(*_: Any) -> None:
            left = scenes.one(Workitem)
            assert left.state == WorkitemState.CANCELING
            assert (left.study_instance_uid, left.inputs) == ("", "[]")

        return [complete, erase], check

    scenes.play(scene, switches=switches)


def workitem(session: Any) -> Workitem:
    found = workitems.workitem_of(session, UID)
    assert found is not None
    return found
