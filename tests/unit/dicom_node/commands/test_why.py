"""What happened to a study, in words: every condition, and what is said of its images."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, table_after
from node_factory import (
    PATIENT_WORDS,
    SOMEBODY_ELSE,
    STUDY_UID,
    Reception,
    after,
    analysis_row,
    delivery_row,
    finished,
    instance_row,
    made_result,
    mammogram,
    study_row,
)
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from dicom_node.commands.local_times import local_time
from dicom_node.commands.node import app
from dicom_node.commands.observe.why import FAILED_IMAGE, MEANINGS, NO_RESULTS, SET_ASIDE, why
from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.circuits import note_failure
from dicom_node.studies.ledger.due.pauses import Paused
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import Pause
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""The queries are those of `show`, which are tried in PostgreSQL too."""

PAGE = ROOT / "docs" / "troubleshooting.md"
DONE = AnalysisState.DONE
D = DeliveryState
OTHERS = "1 of 4 images were corrected to another patient and the others were not: send it again"
FAILED = json.dumps({"images": [{"status": "failed"}, {"status": "analysed"}]})


def told(session: Session, **known: Any) -> str:
    lines = why(session, STUDY_UID, **known)
    assert len(lines) <= 12
    return "\n".join(lines)


def analysed(
    session: Session,
    *states: DeliveryState,
    reason: str = "",
    proof_due_at: datetime | None = None,
    **study: Any,
) -> None:
    analysis = analysis_row(
        session, study_row(session, **study), state=DONE, bundle="demo 1", finished_at=after(60)
    )
    for number, state in enumerate(states):
        delivery_row(
            session,
            analysis,
            destination=f"archive{number}",
            state=state,
            reason=reason,
            proof_due_at=proof_due_at,
        )


def paused(session: Session, kind: Paused, name: str = "") -> None:
    session.add(Pause(kind=kind, name=name, paused_by="anna", since=database_time(session)))
    session.flush()


def waiting(session: Session, **columns: Any) -> None:
    analysis_row(session, study_row(session, **columns))


def paused_analysis(session: Session) -> None:
    waiting(session)
    paused(session, Paused.WORKER)


def paused_delivery(session: Session) -> None:
    analysed(session, D.DUE)
    paused(session, Paused.DESTINATION, "archive0")


def down(session: Session) -> None:
    analysed(session, D.DUE)
    at, policy = database_time(session), RetrySettings(breaker_failures=1)
    note_failure(session, "archive0", reason="no association", policy=policy, at=at)


def of_state(state: AnalysisState) -> Callable[[Session], Any]:
    return lambda session: analysis_row(
        session, study_row(session), state=state, reason="the device is gone"
    )


def of_deliveries(*states: DeliveryState, reason: str = "") -> Callable[[Session], None]:
    return lambda session: analysed(session, *states, reason=reason)


def unasked(session: Session) -> None:
    analysed(session, D.ACCEPTED, proof_due_at=database_time(session) - timedelta(days=5))


SCENES: dict[str, tuple[Callable[[Session], Any], list[str]]] = {
    "receiving": (
        lambda session: study_row(session, state=StudyState.OPEN),
        ["is being received", "settling.idle_seconds"],
    ),
    "waiting": (waiting, ["waits for its analysis", "not handed to the broker yet", "`waiting`"]),
    "waiting paused": (paused_analysis, ["paused", "by anna", "mammoclip-node resume"]),
    "waiting off-peak": (
        lambda session: waiting(session, priority=0),
        ["until nothing else is due", f"mammoclip-node priority {STUDY_UID} routine"],
    ),
    "analysing": (of_state(AnalysisState.RUNNING), ["is being analysed"]),
    "failed": (
        of_state(AnalysisState.FAILED),
        ["could not be analysed", "reason: the device is gone", f"retry {STUDY_UID}"],
    ),
    "cancelled": (of_state(AnalysisState.CANCELLED), ["cancelled it", f"retry {STUDY_UID}"]),
    "superseded": (of_state(AnalysisState.SUPERSEDED), ["no result that counts"]),
    "nothing to analyse": (
        lambda session: study_row(session, remark="nothing to analyse"),
        ["has no image that can be analysed"],
    ),
    "held for patients": (
        lambda session: study_row(session, remark=OTHERS),
        ["do not name one patient", "reason: 1 of 4"],
    ),
    "held for removed files": (
        lambda session: study_row(session, remark="the files of 2 of its images were removed"),
        ["after the files of others were removed"],
    ),
    "held by a pause": (paused_delivery, ["waits for a person", "archive0 held", "resume"]),
    "held, dry": (of_deliveries(D.HELD, reason="dry: 3 objects made"), ["not sent", "dry = false"]),
    "held": (of_deliveries(D.HELD), ["waits for a person", f"retry {STUDY_UID}"]),
    "delivering": (of_deliveries(D.SENDING), ["are being delivered", "archive0 sending"]),
    "delivering, down": (down, ["a destination is down", "mammoclip-node destinations"]),
    "refused": (
        of_deliveries(D.CONFIRMED, D.REFUSED, reason="0x0122"),
        ["refused the results", "archive0 confirmed; archive1 refused", "archive1: 0x0122"],
    ),
    "not kept": (of_deliveries(D.REFUSED, reason="not-kept: 2 of 3"), ["did not keep"]),
    "expired": (of_deliveries(D.EXPIRED, reason="no association"), ["given up", "no association"]),
    "done": (of_deliveries(), ["no destination", "[[destinations]]"]),
    "delivered": (
        of_deliveries(D.CONFIRMED, D.ACCEPTED),
        ["is delivered", "archive1 accepted", "is not proven", "`delivered (accepted)`"],
    ),
    "confirmed": (
        of_deliveries(D.COMMITTED, D.CONFIRMED),
        ["is delivered", "archive1 confirmed", "has shown", "are in the archive's series"],
    ),
    "committed": (
        of_deliveries(D.COMMITTED),
        ["is delivered", "archive0 committed", "to keep", "are in the archive's series"],
    ),
    "not found": (
        of_deliveries(D.ACCEPTED, reason="2 of 2 objects were not found there by C-FIND yet"),
        ["does not show", "archive0: 2 of 2 objects", '"were not found there"'],
    ),
    "never proven": (
        of_deliveries(D.ACCEPTED, reason="never proven: archive0 does not offer C-FIND"),
        ["asked no more", f"asked again: mammoclip-node retry {STUDY_UID}", '"never proven"'],
    ),
    "not proven yet": (
        of_deliveries(D.ACCEPTED, reason="not proven yet: archive0 does not offer C-FIND"),
        ["could not be asked yet", "mend what the reason names", '"not proven yet"'],
    ),
    "not asked": (unasked, ["could not be asked yet", "due since", "check that the node runs"]),
    "delivered, partly dry": (
        of_deliveries(D.ACCEPTED, D.HELD, reason="dry: 3 objects made"),
        ["except to dry destinations"],
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_study_says_how_it_stands_and_what_to_do(session: Session, scene: str) -> None:
    make, words = SCENES[scene]
    make(session)

    text = told(session)

    assert text.startswith(f"study {STUDY_UID} ")
    assert [word for word in words if word not in text] == []
    assert text.splitlines()[-1].startswith("what to do: ")


def test_destination_that_was_removed_from_the_settings_is_named(session: Session) -> None:
    analysed(session, D.DUE)

    text = told(session, destinations=frozenset({"second"}))

    assert "destination archive0 is not in the settings" in text
    assert "drop-deliveries" in text


UNPROVEN = ("delivered", "not found", "never proven", "not proven yet", "not asked")


@pytest.mark.parametrize("scene", UNPROVEN)
def test_nothing_that_is_not_proven_is_said_to_be_there(session: Session, scene: str) -> None:
    SCENES[scene][0](session)

    text = told(session)

    assert "results are in the archive" not in text
    assert " there)" not in text


def test_question_that_waits_for_a_person_says_for_what(session: Session) -> None:
    unasked(session)

    text = told(session, destinations=frozenset({"second"}))

    assert "not proven yet: nobody has asked for it" in text
    assert "destination archive0 is not in the settings" in text
    assert "mammoclip-node move-deliveries" in text.splitlines()[-1]
    assert text.endswith('`delivered`, "is not in the settings"')


def test_every_meaning_is_tried_here(session: Session) -> None:
    said = set()
    for make, _ in SCENES.values():
        with session.begin_nested() as point:
            make(session)
            said.add(why(session, STUDY_UID)[-1])
            point.rollback()

    entries = {one.entry for some in MEANINGS.values() for one in some}
    # Those of the removed destination have tests of their own.
    entries -= {'`held`, "is not in the settings"', '`delivered`, "is not in the settings"'}
    assert {one for one in entries if not any(line.endswith(f": {one}") for line in said)} == set()


def test_every_entry_that_is_named_stands_on_the_page(database: Database) -> None:
    states = {row[0] for row in table_after(PAGE, f"## {NO_RESULTS}")}

    named = {one.entry for some in MEANINGS.values() for one in some}
    assert named - states == set()
    assert table_after(PAGE, f"## {SET_ASIDE}")
    assert table_after(PAGE, f"## {FAILED_IMAGE}")


def test_whole_way_of_a_study_is_told_in_its_order(session: Session) -> None:
    study = study_row(session)
    for _ in range(2):
        instance_row(session, study, calling_ae_title="ROOM1")
    left_out = "For Presentation of the same view exists"
    instance_row(session, study, calling_ae_title="ROUTER", left_out_reason=left_out)
    delivery = finished(session, analysis_row(session, study), made_result())[0]
    delivery.state, delivery.finished_at = D.CONFIRMED, after(90)
    session.flush()

    lines = why(session, STUDY_UID)

    assert [line.partition(":")[0] for line in lines[1:]] == [
        "received", "left out on purpose", "complete", "analysed", "delivery", "what to do"
    ]  # fmt: skip
    assert "3 images from ROOM1, ROUTER" in lines[1]
    assert lines[2].endswith(f"1 image: {left_out}")
    assert "by stand-in 1 00" in lines[4]
    assert f"archive confirmed at {local_time(after(90))}" in lines[5]


def test_partial_analysis_names_the_section_of_failed_images(session: Session) -> None:
    study = study_row(session)
    analysis_row(session, study, state=DONE, findings=FAILED)

    text = told(session)

    assert "1 of 2 images could not be read" in text
    assert f'"{FAILED_IMAGE}"' in text


def test_removed_files_are_told_beside_the_result(session: Session) -> None:
    analysed(session, D.COMMITTED, removed_at=after(90), removed_because="after 30 days")
    study = session.get_one(type(study_row(session, "1.3")), 1)
    instance_row(session, study, state=InstanceState.REMOVED, removed_at=after(90))

    text = told(session)

    assert "is delivered" in text
    assert "removed: the files of 1 image were removed" in text
    assert "reason:" not in text


def test_former_result_is_told_while_a_late_image_is_awaited(session: Session) -> None:
    analysed(session, D.ACCEPTED, state=StudyState.OPEN)

    text = told(session)

    assert "is being received" in text
    assert "analysed: revision 1" in text
    assert "archive0 accepted" in text


def test_many_senders_and_destinations_are_counted(session: Session) -> None:
    analysed(session, *[D.ACCEPTED] * 6)
    study = session.get_one(type(study_row(session, "1.3")), 1)
    for number in range(5):
        instance_row(session, study, calling_ae_title=f"ROOM{number}")

    text = told(session)

    assert "ROOM2, and 2 more" in text
    assert "archive2 accepted; and 3 more" in text


def test_images_set_aside_name_their_entry_and_no_patient(reception: Reception) -> None:
    reception.receive(mammogram())
    reception.receive(mammogram(without=["ImageLaterality"]))
    reception.receive(mammogram(**SOMEBODY_ELSE))
    with reception.database.writing() as session:
        session.get_one(type(reception.study()), 1).state = StudyState.SETTLED
    with reception.database.reading() as session:
        text = told(session)

    known = {row[0] for row in table_after(PAGE, f"## {SET_ASIDE}")}
    assert {"`no-laterality`", "`two-patients`"} <= known
    assert "`no-laterality`, `two-patients`" in text
    others = (*PATIENT_WORDS, *SOMEBODY_ELSE.values(), "Anders")
    assert [word for word in others if word in text] == []


def test_command_prints_the_lines_or_says_that_the_study_is_unknown(
    tmp_path: Path, reception: Reception
) -> None:
    with reception.database.writing() as session:
        waiting(session)
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "spool"\n[ledger]\nurl = "{reception.database.engine.url}"\n')

    def run(uid: str) -> Any:
        return CliRunner().invoke(app, ["why", uid, "--config", str(file)])

    assert run(STUDY_UID).stdout.startswith(f"study {STUDY_UID} waits for its analysis\n")
    unknown = run("9.9")
    assert unknown.exit_code == 1
    (line,) = unknown.stderr.splitlines()
    assert "study 9.9 is not in the ledger" in line
