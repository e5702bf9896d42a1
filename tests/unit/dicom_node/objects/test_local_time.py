"""Every object states one offset from UTC, and all of its dates and times are true in it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from every_kind import EVERY_KIND
from objects_factory import finding, identity, image_of, mammogram, marker_mask, results_of
from pydicom.dataset import Dataset

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.elements.local_time import MachineTimeZone, offset_for, site_time_zone

BERLIN = ZoneInfo("Europe/Berlin")
OWN_TIMES = (
    ("SeriesDate", "SeriesTime"),
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("ContentDate", "ContentTime"),
    ("PresentationCreationDate", "PresentationCreationTime"),
)
LATE_EVENING = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)


@pytest.fixture
def machine_in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def objects_of(created_at: datetime, **attributes: Any) -> list[Dataset]:
    dataset = mammogram(**attributes)
    results = results_of(
        (dataset, image_of(dataset, finding(marker_mask(60, 150)))),
        identity=identity(created_at=created_at, time_zone=BERLIN),
        profiles=(EVERY_KIND,),
    )
    return [one.dataset for one in results]


def instant_of(dataset: Dataset, day: str, time_of_day: str) -> datetime:
    """Return what a reader makes of a date and a time, with the offset that stands beside them."""
    text = f"{dataset[day].value}{str(dataset[time_of_day].value)[:6]}"
    return datetime.strptime(text + dataset.TimezoneOffsetFromUTC, "%Y%m%d%H%M%S%z")


def assert_times_are(created_at: datetime, objects: list[Dataset]) -> None:
    for one in objects:
        stated = [pair for pair in OWN_TIMES if pair[0] in one]
        assert len(stated) >= 3
        assert {instant_of(one, *pair) for pair in stated} == {created_at}
        for item in one.ContributingEquipmentSequence:
            offset = one.TimezoneOffsetFromUTC
            read = datetime.strptime(item.ContributionDateTime + offset, "%Y%m%d%H%M%S.%f%z")
            assert read == created_at


def test_every_object_of_every_kind_states_the_offset_of_the_site() -> None:
    objects = objects_of(LATE_EVENING, StudyDate="20260701")

    # All but attention maps and a rejection note: there is no heatmap and no former revision.
    assert len(objects) >= len(ResultKind) - 2
    assert {one.TimezoneOffsetFromUTC for one in objects} == {"+0200"}


def test_half_past_eleven_in_the_evening_in_utc_is_the_next_day_in_berlin() -> None:
    objects = objects_of(LATE_EVENING, StudyDate="20260701", StudyTime="230000")

    assert_times_are(LATE_EVENING, objects)
    assert {(one.SeriesDate, one.SeriesTime) for one in objects} == {("20260702", "013000.000000")}


def test_half_past_eleven_in_the_evening_in_utc_is_the_same_day_in_new_york() -> None:
    objects = objects_of(LATE_EVENING, TimezoneOffsetFromUTC="-0400")

    assert_times_are(LATE_EVENING, objects)
    assert {(one.SeriesDate, one.SeriesTime) for one in objects} == {("20260701", "193000.000000")}


def test_offset_that_the_source_states_is_kept() -> None:
    objects = objects_of(LATE_EVENING, TimezoneOffsetFromUTC="+0545")

    assert {one.TimezoneOffsetFromUTC for one in objects} == {"+0545"}
    assert_times_are(LATE_EVENING, objects)


@pytest.mark.parametrize("damaged", ["", "CET", "+9900", "0100", "+0160", "-1300"])
def test_offset_that_is_none_counts_as_not_stated(damaged: str) -> None:
    source = Dataset()
    source.StudyDate = "20260701"
    source.TimezoneOffsetFromUTC = damaged

    assert offset_for(source, BERLIN, LATE_EVENING) == timezone(timedelta(hours=2))


@pytest.mark.parametrize(("written", "meant"), [("+01:00", "+0100"), ("-0000", "+0000")])
def test_offset_with_one_legal_form_is_given_it(written: str, meant: str) -> None:
    objects = objects_of(LATE_EVENING, TimezoneOffsetFromUTC=written)

    assert {one.TimezoneOffsetFromUTC for one in objects} == {meant}


@pytest.mark.parametrize(
    ("study_time", "created_at"),
    [
        # Berlin's clocks go back from 03:00 +0200 to 02:00 +0100 at 01:00 UTC.
        ("014500", datetime(2026, 10, 25, 0, 10, tzinfo=UTC)),
        ("014500", datetime(2026, 10, 25, 1, 10, tzinfo=UTC)),
        ("025000", datetime(2026, 10, 25, 1, 5, tzinfo=UTC)),
        ("031500", datetime(2026, 10, 25, 2, 40, tzinfo=UTC)),
    ],
)
def test_result_follows_its_images_on_the_night_of_a_clock_change(
    study_time: str, created_at: datetime
) -> None:
    day = datetime.strptime(f"20261025{study_time}", "%Y%m%d%H%M%S")
    exposed = day.replace(tzinfo=BERLIN).astimezone(UTC)

    objects = objects_of(created_at, StudyDate="20261025", StudyTime=study_time)

    assert_times_are(created_at, objects)
    for one in objects:
        assert one.StudyTime == study_time
        assert instant_of(one, "StudyDate", "StudyTime") == exposed < created_at


def test_study_time_stays_true_when_a_summers_study_is_analysed_in_winter() -> None:
    created_at = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)

    for one in objects_of(created_at, StudyDate="20260701", StudyTime="101500"):
        exposed = instant_of(one, "StudyDate", "StudyTime")
        assert exposed == datetime(2026, 7, 1, 8, 15, tzinfo=UTC)
        assert instant_of(
            one, "ContentDate" if "ContentDate" in one else "SeriesDate", "SeriesTime"
        )


def test_study_without_a_date_is_given_the_offset_of_the_analysis() -> None:
    for attributes in ({"without": ("StudyDate",)}, {"StudyDate": ""}):
        objects = objects_of(datetime(2026, 12, 1, 9, 0, tzinfo=UTC), **attributes)
        assert {one.TimezoneOffsetFromUTC for one in objects} == {"+0100"}


def test_offset_is_the_same_whenever_the_study_is_analysed() -> None:
    source = mammogram(StudyDate="20260701")

    offsets = {
        offset_for(source, BERLIN, LATE_EVENING + timedelta(days=days)) for days in (0, 180, 365)
    }

    assert len(offsets) == 1


@pytest.mark.usefixtures("machine_in_new_york")
def test_without_a_setting_the_machines_zone_holds() -> None:
    zone = site_time_zone(None)

    summer = datetime(2026, 7, 1, 10, 15, tzinfo=zone)
    winter = datetime(2026, 12, 1, 10, 15, tzinfo=zone)

    assert summer.astimezone(UTC) == datetime(2026, 7, 1, 14, 15, tzinfo=UTC)
    assert winter.astimezone(UTC) == datetime(2026, 12, 1, 15, 15, tzinfo=UTC)
    assert LATE_EVENING.astimezone(zone).strftime("%d %H:%M %z %Z") == "01 19:30 -0400 EDT"


@pytest.mark.usefixtures("machine_in_new_york")
def test_machines_zone_tells_the_two_hours_of_a_clock_change_apart() -> None:
    zone = MachineTimeZone()

    twice = [datetime(2026, 11, 1, hour, 30, tzinfo=UTC).astimezone(zone) for hour in (5, 6)]

    assert [moment.strftime("%H:%M %z") for moment in twice] == ["01:30 -0400", "01:30 -0500"]
