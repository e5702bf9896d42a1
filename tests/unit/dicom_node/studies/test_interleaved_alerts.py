"""Nodes before one ledger that tell people of alarms at once: each alarm is told once."""

from datetime import timedelta
from typing import Any

from node_factory import NOW
from scenes import MOSTLY_IN_POSTGRESQL, SWITCHES, Scene, Scenes

from dicom_node.studies.ledger.monitoring.alarm_book import enter_alerts, note_alert, take_alert


@MOSTLY_IN_POSTGRESQL
@SWITCHES
def test_alert_is_told_by_one_node_and_again_if_that_is_gone(scenes: Scenes, switches: int) -> None:
    def scene(scenes: Scenes) -> Scene:
        with scenes.database.writing() as session:
            enter_alerts(session, ["mail"], "flags rose", "twice as many", at=NOW)

        def take(session: Any) -> int | None:
            found = take_alert(session, at=NOW)
            return None if found is None else found.id

        def check(*taken: int | None) -> None:
            (number,) = [one for one in taken if one is not None]
            later = NOW + timedelta(minutes=3)
            with scenes.database.writing() as session:
                again = take_alert(session, at=later)
                assert again is not None
                assert again.id == number
                note_alert(session, number, reason="", at=later, give_up_after=timedelta(1))
                session.flush()
                assert take_alert(session, at=later + timedelta(1)) is None

        return [scenes.writing(take), scenes.writing(take)], check

    assert scenes.play(scene, switches=switches) > 1
