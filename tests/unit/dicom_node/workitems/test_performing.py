"""Rows P5 to P9, P15: progress, inputs, outputs that are stored first, and the end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from archive_double import ArchiveDouble, stored
from node_factory import NOW, SOMEBODY_ELSE, claimed
from worklist_double import FINAL_STATE, OUTPUTS, Worklist, value
from worklist_site import STUDY, Site, images_of, item, outcomes_of, uid

from dicom_node.facts.priority import Priority
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.tables import Analysis, Study

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def told(worklist: Worklist) -> list[str]:
    """Return the progress that was reported, each once."""
    return list(dict.fromkeys(text for _, _, text in worklist.progress))


def test_p5_progress_is_told_step_by_step(site: Site, worklist: Worklist) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive()
    performer.step()
    site.settle()
    performer.step()
    site.analyse()
    performer.step()
    site.deliver()
    performer.step()

    assert told(worklist) == [
        "claimed",
        "waiting for images",
        "all images are here",
        "waiting to be analysed",
        "analysed; waiting for archive (due)",
        "results are stored",
    ]
    percents = [float(percent) for _, percent, _ in worklist.progress]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert worklist.state(uid()) == "COMPLETED"


def test_p5_progress_is_told_no_more_often_than_the_settings_say(
    site_with: Callable[..., Site], worklist: Worklist
) -> None:
    worklist.add(item())
    site = site_with(progress_seconds=1000)
    performer = site.performer()
    performer.step()
    site.receive()
    for _ in range(3):
        performer.step()

    assert told(worklist) == ["claimed"]


def test_p5_progress_that_is_refused_means_that_the_workitem_is_anothers(
    site: Site, worklist: Worklist, log_lines: list[Any]
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    worklist.transactions[uid()] = "2.25.7"
    site.receive()
    performer.step()

    assert site.row().state == "lost"
    assert "workitem_lost" in [one["event"] for one in log_lines]
    assert worklist.endings == {}


@pytest.mark.parametrize("named", [True, False], ids=["by instance", "by study"])
def test_p6_images_that_the_node_lacks_are_fetched_and_no_others(
    site_with: Callable[..., Site], worklist: Worklist, named: bool
) -> None:
    images, more = images_of(), images_of(f"{STUDY}.7")
    for one in more:  # of the same study, and no input
        one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, f"{STUDY}.7"
    archive = ArchiveDouble(stored(*images, *(more if named else [])))
    site = site_with(archives=["pacs"])
    with archive.running():
        site.destinations.append(archive.destination().model_dump())
        site.reception.receive(images[0])
        worklist.add(item() if named else item(images=[]))
        performer = site.performer()
        performer.step()
        site.reception.registrar.register_all()
        performer.step()

    kept = {one.sop_instance_uid for one in site.reception.instances()}
    assert kept == {one.SOPInstanceUID for one in images}
    assert told(worklist)[-1] == "all images are here"


def test_p6_study_of_another_patient_at_the_archive_is_set_aside_with_the_reason(
    site_with: Callable[..., Site], worklist: Worklist, log_lines: list[Any]
) -> None:
    archive = ArchiveDouble(stored(*images_of(**SOMEBODY_ELSE)))
    site = site_with(archives=["pacs"])
    with archive.running():
        site.destinations.append(archive.destination().model_dump())
        worklist.add(item())
        performer = site.performer()
        performer.step()
        performer.step()

    assert site.reception.instances() == []
    assert worklist.state(uid()) == "CANCELED"
    assert reason_told(worklist) == "110514"
    (line,) = [one for one in log_lines if one["event"] == "workitem_set_aside"]
    assert "another patient" in line["reason"]


def test_p6_images_that_come_of_another_patient_are_not_reported_as_the_workitems(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive(**SOMEBODY_ELSE)
    performer.step()
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    assert reason_told(worklist) == "110514"


def test_p6_archive_that_the_settings_do_not_allow_is_never_asked(
    site: Site, worklist: Worklist
) -> None:
    archive = ArchiveDouble(stored(*images_of()))
    with archive.running():
        site.destinations.append(archive.destination().model_dump())
        named = item()
        worklist.add(named)
        site.performer().step()

    assert archive.asked == []
    assert told(worklist)[-1] == "waiting for images"


def test_p6_images_that_do_not_come_in_time_cancel_the_workitem_and_are_named(
    site_with: Callable[..., Site], worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    worklist.add(item())
    site = site_with(inputs_within_seconds=60)
    performer = site.performer()
    performer.step()
    first, second = images_of()
    site.reception.receive(first)
    performer.step()
    assert site.row().state == "held"
    later = site.database.now() + timedelta(seconds=61)
    monkeypatch.setattr(site.database, "now", lambda: later)
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    assert reason_told(worklist) == "110523"
    assert second.SOPInstanceUID in site.row().reason


def test_p7_workitem_is_not_completed_before_the_archive_has_the_results(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive()
    site.settle()
    site.analyse()
    with site.database.writing() as session:  # the archive is down
        (delivery,) = outcomes_of(session, site.analysis(session))
        outcomes.postpone_delivery(
            session, claimed(session, delivery), reason="destination-down: archive does not answer",
            due_at=NOW, at=NOW,
        )  # fmt: skip
    performer.step()

    assert worklist.state(uid()) == "IN PROGRESS"
    assert "archive does not answer" in told(worklist)[-1]


def test_p7_proof_that_is_asked_for_is_waited_for(site: Site, worklist: Worklist) -> None:
    site.destinations[0]["confirm"] = "query"
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.work()
    performer.step()
    assert worklist.state(uid()) == "IN PROGRESS"
    with site.database.writing() as session:
        for delivery in outcomes_of(session, site.analysis(session)):
            delivery.state = "confirmed"
    performer.step()

    assert worklist.state(uid()) == "COMPLETED"


def test_p7_results_that_the_archive_refuses_cancel_the_workitem(
    site: Site, worklist: Worklist
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.receive()
    site.settle()
    site.analyse()
    with site.database.writing() as session:
        (delivery,) = outcomes_of(session, site.analysis(session))
        outcomes.refuse_delivery(
            session, claimed(session, delivery), reason="refused: 0x0122", at=NOW
        )
    performer.step()

    assert worklist.state(uid()) == "CANCELED"
    assert "0x0122" in site.row().reason


def test_p8_completed_workitem_names_what_was_performed_and_each_result(
    site: Site, worklist: Worklist
) -> None:
    site.destinations.append(
        {"name": "web", "kind": "dicomweb", "url": "http://archive:8042/dicom-web"}
    )
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.work()
    performer.step()

    done = value(worklist.items[uid()], "00741216")
    assert all(value(done, tag) for tag in FINAL_STATE)
    assert value(done, "00404019.00080100") == "MAMMO-AI"
    assert value(done, "00404028.00080100") == "MAMMOCLIP"
    output = value(done, OUTPUTS)
    assert value(output, "0020000D") == STUDY, "results lie in the study of the inputs"
    assert len(output["00081199"]["Value"]) == 2
    assert value(output, "0040E021.00080054") == "ARCHIVE"
    assert worklist.endings == {(uid(), "COMPLETED"): 1}


@pytest.mark.parametrize(
    "tag", [FINAL_STATE[0], *(pytest.param(one, marks=pytest.mark.long) for one in FINAL_STATE[1:])]
)
def test_p8_server_that_lacks_something_of_the_final_state_is_not_told_it_is_done(
    site: Site, worklist: Worklist, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    """Each attribute left out in turn, the server refuses: so each of them is needed, and sent."""
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.work()
    update = performer._server.update

    def mutilated(one: str, document: bytes) -> Any:
        return update(one, document.replace(f'"{tag}"'.encode(), b'"00400002"'))

    monkeypatch.setattr(performer._server, "update", mutilated)
    performer.step()
    performer.step()

    assert (uid(), "COMPLETED") not in worklist.endings
    assert site.row().state == "canceled"
    assert "did not take it for completed" in site.row().reason


def test_p9_completion_whose_answer_was_lost_is_told_again_and_is_no_error(
    site: Site, worklist: Worklist, log_lines: list[Any]
) -> None:
    worklist.add(item())
    performer = site.performer()
    performer.step()
    site.work()
    worklist.lost_answers = {len(worklist.requests) + 2}  # after the update: the end itself
    performer.step()
    assert site.row().state == "completing"

    site.performer().step()

    assert site.row().state == "completed"
    assert worklist.warnings == 1
    assert worklist.endings == {(uid(), "COMPLETED"): 1}
    assert not [one for one in log_lines if one["log_level"] == "error"]


def test_p15_most_urgent_workitems_are_claimed_first(
    site_with: Callable[..., Site], worklist: Worklist
) -> None:
    soon, late = "20300101000000+0000", "20310101000000+0000"
    due = [("LOW", soon), ("MEDIUM", late), ("HIGH", late), ("MEDIUM", soon), ("HIGH", soon)]
    for number, (priority, expected) in enumerate(due, 1):
        until = {"t00404011": {"vr": "DT", "Value": [expected]}}
        worklist.add(item(number, f"{STUDY}.{number}", priority=priority, **until))
    site = site_with(most_at_once=5)

    site.performer().step()

    by_claim = sorted(site.rows(), key=lambda row: row.id)
    assert [row.workitem_uid for row in by_claim] == [uid(number) for number in (5, 3, 4, 2, 1)]


def test_p15_study_gets_the_priority_of_its_workitem(site: Site, worklist: Worklist) -> None:
    worklist.add(item(priority="HIGH"))
    performer = site.performer()
    performer.step()
    site.receive()
    site.settle()
    performer.step()

    assert site.reception.study(STUDY).priority == Priority.STAT
    assert [one.priority for one in site.reception.rows(Analysis)] == [Priority.STAT]


def test_study_that_was_analysed_before_is_not_analysed_again(
    site: Site, worklist: Worklist
) -> None:
    site.work()
    worklist.add(item())

    site.performer().step()

    assert worklist.state(uid()) == "COMPLETED"
    assert len(site.reception.rows(Analysis)) == 1
    assert [one.revision for one in site.reception.rows(Study)] == [1]


def reason_told(worklist: Worklist) -> Any:
    """Return the code with which the workitem was canceled."""
    return value(worklist.items[uid()], "00741002.0074100E.00080100")
