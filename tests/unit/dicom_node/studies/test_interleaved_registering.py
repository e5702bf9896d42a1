"""The registrar beside whoever decides on its studies, stopped at every statement and move.

Each test says what two processes do at once and what must then hold, in whatever order.
"""

from pathlib import Path
from typing import Any

import pytest
from node_factory import NOW, STUDY_UID, after, instance_row, mammogram, put, study_row
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Action, Scene, Scenes

from dicom_node.errors import OvertakenError
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.operator_actions import judge_again
from dicom_node.studies.settling import Patience, settle_if_complete


def settle(scenes: Scenes, study: Study) -> Action:
    patience = Patience(idle=NOW - NOW, grace=NOW - NOW)
    at = after(10**9)  # everything has come long ago
    return scenes.writing(
        lambda session: settle_if_complete(
            session, study.id, sent=(), patience=patience, at=at, due_at=NOW
        )
    )


def image_while_settling(scenes: Scenes) -> Scene:
    """An image arrives in a study of which nothing could be analysed so far, as it settles."""
    with scenes.database.writing() as session:
        study = study_row(session, state=StudyState.OPEN, revision=0)
        instance_row(session, study, state=InstanceState.SET_ASIDE, reason="no-view")
    reception = scenes.reception()
    put(reception.spool, mammogram())

    def check(*_: Any) -> None:
        study, analyses = scenes.one(Study), scenes.all(Analysis)
        (image,) = (one for one in scenes.all(Instance) if one.state is not InstanceState.SET_ASIDE)
        assert image.state is InstanceState.REGISTERED
        # Either its study waits for more, or the image is in the study's analysis.
        assert (study.state, len(analyses)) in {(StudyState.OPEN, 0), (StudyState.SETTLED, 1)}

    return (reception.registrar.register_all, settle(scenes, study)), check


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_image_that_arrives_while_its_study_settles_is_analysed(
    scenes: Scenes, switches: int
) -> None:
    assert scenes.play(image_while_settling, switches=switches) > 10


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_scheduler_finds_the_order_in_which_missing_locks_do_harm(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("settling", "ledger.arrival.registering", "ledger.locks"):
        monkeypatch.setattr(f"dicom_node.studies.{module}.locking", lambda query, **_: query)

    # The versions are the second line: the study is not lost, but somebody has to try again.
    with pytest.raises(OvertakenError):
        scenes.play(image_while_settling, switches=1)


@SWITCHES
def test_study_that_two_nodes_settle_has_one_analysis(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            study = study_row(session, state=StudyState.OPEN, revision=0)
            instance_row(session, study)

        def check(*_: Any) -> None:
            assert [row.revision for row in scenes.all(Analysis)] == [1]

        return (settle(scenes, study), settle(scenes, study)), check

    scenes.play(scene, switches=switches)


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_two_registrars_enter_a_new_study_once(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        repeated = mammogram()
        receptions = [scenes.reception(), scenes.reception()]

        def in_either(place: str) -> Path:
            # They have one ledger, of whose places each would look for all in its own spool.
            roots = [one.spool.root for one in receptions]
            return next((root / place for root in roots if (root / place).exists()), roots[0])

        for one in receptions:
            one.spool.file = in_either
            put(one.spool, repeated)
            put(one.spool, mammogram("CC"))

        def check(*_: Any) -> None:
            for one in receptions:
                one.registrar.register_all()
            scenes.one(Study)
            assert len(scenes.all(Instance)) == 3
            assert [one.files("incoming") for one in receptions] == [[], []]
            assert sum(len(one.files("studies")) for one in receptions) == 3

        registrars = [one.registrar for one in receptions]
        for registrar in registrars:
            # What was left by a crash: each would look for the other's files in its own spool.
            registrar.finish_moves = lambda: None
            # Read before: until Python 3.12 all instances of a cached property share one lock.
            _ = registrar._key, registrar._spool_id
        return [registrar.register_all for registrar in registrars], check

    scenes.play(scene, switches=switches)


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_object_taken_back_while_objects_are_registered_is_kept(
    scenes: Scenes, switches: int
) -> None:
    def scene(scenes: Scenes) -> Scene:
        reception = scenes.reception()
        reception.receive(mammogram(without=["ViewPosition"]))
        put(reception.spool, mammogram())

        def check(*_: Any) -> None:
            reception.registrar.register_all()
            former, *rows = reception.instances()
            assert (former.state, former.place) == (InstanceState.TAKEN_BACK, "")
            assert len(rows) == 2
            assert all(reception.spool.file(row.place).is_file() for row in rows)
            kept = [*reception.files("studies"), *reception.files("set-aside")]
            assert (len(kept), reception.files("incoming")) == (2, [])

        again = scenes.writing(lambda session: judge_again(session, STUDY_UID, at=NOW))
        return (again, reception.registrar.register_all), check

    scenes.play(scene, switches=switches)
