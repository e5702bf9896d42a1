"""Which files the retention removes, and which never."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from kept_studies import LONG_AFTER, MONTH, Kept, retention
from node_factory import NOW, Reception, claimed, mammogram, put
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.spool.files.removal import reading
from dicom_node.studies.ledger.due import outcomes
from dicom_node.studies.ledger.queries.reading import find_study, study_record, summary
from dicom_node.studies.ledger.removal.removing import files_may_go
from dicom_node.studies.ledger.states import TAKEN, AnalysisState, DeliveryState, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study

UID = "1.2.826.0.1.3680043.8.498.80"


def change(kept: Kept, table: type, **values: object) -> None:
    """Change the study, its newest analysis or its deliveries as nothing else does."""
    with kept.reception.database.writing() as session:
        analyses = select(Analysis.id).where(Analysis.study_id == kept.row.id)
        condition = {
            Study: Study.id == kept.row.id,
            Analysis: Analysis.study_id == kept.row.id,
            Delivery: Delivery.analysis_id.in_(analyses),
            Instance: Instance.study_id == kept.row.id,
        }[table]
        session.execute(update(table).where(condition).values(**values))


def test_delivered_study_is_removed_after_its_time(
    reception: Reception, log_lines: list[dict[str, object]]
) -> None:
    kept = Kept(reception, UID).deliver()
    assert len(kept.files()) == 3

    assert retention(reception, at=NOW + timedelta(days=29)).step() == 0
    assert len(kept.files()) == 3
    assert retention(reception).step() == 1

    assert kept.files() == set()
    assert reception.files("studies") == reception.files("results") == []
    assert not list((reception.spool.root / "studies").iterdir())
    (line,) = [line for line in log_lines if line["event"] == "study_removed"]
    assert line["study"] == UID


def test_rows_outlive_files_and_say_when_and_why(reception: Reception) -> None:
    Kept(reception, UID).deliver()
    retention(reception).step()

    with reception.database.reading() as session:
        study = find_study(session, UID)
        record = study_record(session, study)
        told = summary(session, study)

    assert (told.condition, told.images) == ("delivered", 2)
    assert told.reason == (
        f"the files of 2 images were removed on {LONG_AFTER.isoformat(timespec='seconds')}: "
        "delivered more than 30 days ago (retention.days)"
    )
    assert [(one["state"], one["place"]) for one in record["instances"]] == [("removed", "")] * 2
    assert [one["place"] for one in record["results"]] == [""]
    events = [one for one in record["history"] if one["event"] == "remove"]
    assert [one["reason"] for one in events] == [study.removed_because] * 2


def test_nothing_is_removed_unless_the_settings_say_so(reception: Reception) -> None:
    kept = Kept(reception, UID).deliver()

    assert retention(reception, RetentionSettings(), at=NOW + timedelta(days=9999)).step() == 0

    assert len(kept.files()) == 3


def test_study_that_is_not_delivered_is_never_removed(reception: Reception) -> None:
    states = [one for one in DeliveryState if one not in TAKEN]
    kept = [Kept(reception, f"{UID}.{n}").end(state) for n, state in enumerate(states)]

    assert retention(reception).step() == 0

    assert [len(one.files()) for one in kept] == [3] * len(states)


def test_study_whose_analysis_is_not_done_is_never_removed(reception: Reception) -> None:
    states = [one for one in AnalysisState if one != AnalysisState.DONE]
    kept = [Kept(reception, f"{UID}.{n}").deliver() for n, _ in enumerate(states)]
    for one, state in zip(kept, states, strict=True):
        change(one, Analysis, state=state)

    assert retention(reception).step() == 0

    assert [len(one.files()) for one in kept] == [3] * len(states)


def test_study_of_which_one_archive_of_two_has_the_results_is_never_removed(
    reception: Reception,
) -> None:
    kept = Kept(reception, UID)
    with reception.database.writing() as session:
        first, _ = kept.analyse(session, to=("one", "other"))
        outcomes.finish_delivery(session, claimed(session, first), at=NOW)

    assert retention(reception).step() == 0

    assert len(kept.files()) == 3


def test_study_without_a_destination_is_never_removed(reception: Reception) -> None:
    kept = Kept(reception, UID)
    with reception.database.writing() as session:
        kept.analyse(session, to=())

    assert retention(reception).step() == 0

    assert len(kept.files()) == 3


def test_study_that_its_archive_has_not_confirmed_is_never_removed(reception: Reception) -> None:
    kept = Kept(reception, UID).deliver()

    assert retention(reception, confirming=["archive"]).step() == 0
    assert len(kept.files()) == 3
    assert retention(reception, confirming=["another"]).step() == 1


@pytest.mark.parametrize("needs_confirmation", [True, False])
@pytest.mark.parametrize("state", DeliveryState)
def test_only_what_arrived_may_go(state: DeliveryState, needs_confirmation: bool) -> None:
    may_go = files_may_go(state, needs_confirmation=needs_confirmation)

    proven = {DeliveryState.CONFIRMED, DeliveryState.COMMITTED}
    is_taken = state is DeliveryState.ACCEPTED and not needs_confirmation
    assert may_go == (state in proven or is_taken)


def open_study(kept: Kept) -> None:
    change(kept, Study, state="open")


def hold(kept: Kept) -> None:
    change(kept, Study, remark="1 of 2 images were corrected to another patient")


def correct(kept: Kept) -> None:
    change(kept, Instance, state=InstanceState.REPLACED)


def take_back(kept: Kept) -> None:
    change(kept, Instance, state=InstanceState.TAKEN_BACK)


def receive_another(kept: Kept) -> None:
    change(kept, Instance, state=InstanceState.RECEIVED)


def test_study_on_its_way_is_never_removed(reception: Reception) -> None:
    moments: list[Callable[[Kept], None]] = [open_study, hold, correct, take_back, receive_another]
    kept = [Kept(reception, f"{UID}.{n}").deliver() for n, _ in enumerate(moments)]
    for one, moment in zip(kept, moments, strict=True):
        moment(one)

    assert retention(reception).step() == 0

    assert [len(one.files()) for one in kept] == [3] * len(moments)


def test_earlier_revision_under_way_keeps_the_files(reception: Reception) -> None:
    kept = Kept(reception, UID).end(DeliveryState.SENDING).deliver()

    assert retention(reception).step() == 0
    with reception.database.writing() as session:
        expired = {"state": DeliveryState.EXPIRED}
        session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.SENDING).values(**expired)
        )

    assert retention(reception).step() == 1
    assert kept.files() == set()


def test_time_begins_with_the_last_delivery(reception: Reception) -> None:
    Kept(reception, UID).deliver(at=NOW + timedelta(days=20))

    assert retention(reception, at=NOW + timedelta(days=49)).step() == 0
    assert retention(reception, at=NOW + timedelta(days=51)).step() == 1


def test_leftovers_of_killed_attempts_go_with_their_study(reception: Reception) -> None:
    Kept(reception, UID).deliver()
    reception.spool.keep_result(b"of an attempt that was killed", 1, 7, "000-report")

    retention(reception).step()

    assert reception.files("results") == []


def test_study_that_a_command_reads_stays_until_it_has_ended(reception: Reception) -> None:
    kept = Kept(reception, UID).deliver()
    (image, *_) = reception.files("studies")

    with reading(image.parent):
        assert retention(reception).step() == 0
        assert len(kept.files()) == 3

    assert retention(reception).step() == 1


def test_command_that_begins_to_read_what_is_to_be_deleted_reads_on(reception: Reception) -> None:
    kept = Kept(reception, UID).deliver()
    keeping = retention(reception)
    keeping.delete_marked = lambda: None  # type: ignore[method-assign]
    keeping.step()

    with reading(reception.files("studies")[0].parent):
        retention(reception).delete_marked()
        assert len(reception.files("studies")) == 2
    retention(reception).delete_marked()

    assert kept.files() == set()


# Set aside


def set_aside(reception: Reception) -> Instance:
    row = reception.receive(mammogram(without=["ImageLaterality"]))
    assert row is not None
    assert row.state is InstanceState.SET_ASIDE
    return row


def test_what_is_set_aside_has_a_time_of_its_own(reception: Reception) -> None:
    set_aside(reception)
    set_aside(reception)
    much_later = reception.instances()[0].received_at + timedelta(days=100)

    retention(reception, at=much_later).step()
    assert len(reception.files("set-aside")) == 2
    retention(reception, RetentionSettings(set_aside_days=101), at=much_later).step()
    assert len(reception.files("set-aside")) == 2
    retention(reception, RetentionSettings(set_aside_days=99), at=much_later).step()

    assert reception.files("set-aside") == []
    assert {row.state for row in reception.instances()} == {InstanceState.SET_ASIDE}


def test_object_that_was_removed_is_set_aside_anew_when_it_comes_again(
    reception: Reception,
) -> None:
    image = mammogram(without=["ImageLaterality"])
    first = reception.receive(image)
    assert first is not None
    later = first.received_at + timedelta(days=100)
    retention(reception, RetentionSettings(set_aside_days=99), at=later).step()

    again = reception.receive(image)

    assert again is not None
    assert again.state is InstanceState.SET_ASIDE
    assert len(reception.files("set-aside")) == 1


def test_study_of_which_nothing_can_be_analysed_goes_by_the_time_of_set_aside_objects(
    reception: Reception,
) -> None:
    kept = Kept(reception, UID)
    change(kept, Study, state="settled", remark="nothing to analyse", last_received_at=NOW)

    assert retention(reception).step() == 0
    assert retention(reception, RetentionSettings(set_aside_days=90)).step() == 0
    assert retention(reception, RetentionSettings(set_aside_days=30)).step() == 1

    assert kept.files() == set()


# Room on the disk


@pytest.mark.parametrize(
    "owed", [{"proof_due_at": LONG_AFTER}, {"proof_due_at": None, "reason": "never proven: mute"}]
)
@pytest.mark.parametrize("settings", [MONTH, RetentionSettings(free_bytes=10)])
def test_study_that_an_archive_is_still_to_prove_stays_whatever_the_settings_say_of_the_archive(
    reception: Reception, settings: RetentionSettings, owed: dict[str, object]
) -> None:
    kept = Kept(reception, UID).deliver(to=("renamed since",))
    change(kept, Delivery, **owed)
    full = retention(reception, settings, free_space=lambda _: (0, 100))

    assert full.step(at_once=True) == 0
    assert len(kept.files()) == 3

    change(kept, Delivery, proof_due_at=None, reason="")
    assert full.step(at_once=True) == 1


def test_studies_finished_first_go_first_where_room_is_needed(reception: Reception) -> None:
    order = {3: "1.2.3.1", 1: "1.2.3.2", 2: "1.2.3.3"}
    kept = {
        day: Kept(reception, uid).deliver(at=NOW + timedelta(days=day))
        for day, uid in order.items()
    }
    waiting = Kept(reception, "1.2.3.4").end(DeliveryState.DUE)
    free = [1000]

    def disk(_: object) -> tuple[int, int]:
        return free[0], 10_000

    keeping = retention(reception, RetentionSettings(free_bytes=1001), free_space=disk)
    assert keeping.step() == 1
    assert [day for day in sorted(kept) if kept[day].files()] == [2, 3]

    keeping = retention(reception, RetentionSettings(free_percent=50), free_space=disk)
    free[0] = 5000
    assert keeping.step() == 0
    free[0] = 0
    assert keeping.step(at_once=True) == 2
    assert keeping.step(at_once=True) == 0
    assert len(waiting.files()) == 3


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_disk_that_becomes_too_full_between_two_rounds_is_not_left_waiting(
    reception: Reception,
) -> None:
    kept = Kept(reception, UID).deliver()
    free = [2000]
    settings = RetentionSettings(free_bytes=1001)
    keeping = retention(reception, settings, free_space=lambda _: (free[0], 10_000))

    assert keeping.step() == 0
    free[0] = 1000
    assert keeping.step() == 1

    assert kept.files() == set()


def test_disk_that_stays_full_is_told_once(
    reception: Reception, log_lines: list[dict[str, object]]
) -> None:
    Kept(reception, UID).end(DeliveryState.DUE)
    keeping = retention(
        reception, RetentionSettings(free_bytes=10), free_space=lambda _: (0, 10_000)
    )

    for _ in range(3):
        keeping.step(at_once=True)

    assert [line["event"] for line in log_lines].count("disk_nearly_full") == 1


def test_waiting_objects_are_nothing_to_the_retention(reception: Reception) -> None:
    Kept(reception, UID).deliver()
    put(reception.spool, mammogram(StudyInstanceUID=UID))

    retention(reception, MONTH).step()

    assert len(reception.files("incoming")) == 1


def test_results_of_another_study_stay(reception: Reception) -> None:
    Kept(reception, UID).deliver()
    other = Kept(reception, "1.2.3.4").end(DeliveryState.REFUSED)

    retention(reception).step()

    assert len(other.files()) == 3
    with reception.database.reading() as session:
        assert _places(session) == ["", f"results/{2}/0/000-report.dcm"]


def _places(session: Session) -> list[str]:
    return list(session.scalars(select(ResultObject.place).order_by(ResultObject.id)))
