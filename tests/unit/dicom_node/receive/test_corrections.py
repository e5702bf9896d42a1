"""What the registrar makes of an image that it has already: repeats, corrections, better copies."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from corrected_images import (
    CORRECTED,
    JPEG_LS,
    as_jpeg_ls,
    copy_of,
    files_and_rows,
    kept,
    other_pixels,
    pictured,
    truncated,
)
from node_factory import SOMEBODY_ELSE, Reception, put

from dicom_node.spool.names import incoming_place
from dicom_node.spool.receipt_clock import ReceiptClock
from dicom_node.studies.ledger.states import InstanceState

pytestmark = pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)],
    indirect=True,
)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Richtig^Rita"),
        ("PatientName", "QUELLWASSER^OTTILIE"),
        ("PatientID", "RICHTIG-1"),
        ("PatientBirthDate", "19610407"),
        ("AccessionNumber", "A-2"),
        ("StudyDescription", "Screening"),
        ("SeriesInstanceUID", "1.2.3.4"),
        ("ViewPosition", "CC"),
        ("ImageLaterality", "R"),
    ],
)
def test_corrected_header_takes_the_place_of_the_former(
    reception: Reception, keyword: str, value: str
) -> None:
    first = pictured()
    reception.receive(first)

    row = reception.receive(copy_of(first, **{keyword: value}))

    assert (row.state, row.reason, row.detail) == (InstanceState.REGISTERED, "corrected", keyword)
    assert [one.id for one in kept(reception)] == [row.id]
    assert reception.instances()[0].state is InstanceState.REPLACED
    files_and_rows(reception)


@pytest.mark.parametrize("others", [{}, {"PatientBirthDate": "", "StudyDescription": "Study 7"}])
def test_copy_that_names_no_patient_corrects_nothing(
    reception: Reception, others: dict[str, str]
) -> None:
    first = pictured()
    before = reception.receive(first)

    put(reception.spool, copy_of(first, PatientID="", PatientName="", **others))
    reception.registrar.register_all()

    assert [one.id for one in kept(reception)] == [before.id]
    files_and_rows(reception)


def test_copy_that_names_a_patient_corrects_one_that_names_none(reception: Reception) -> None:
    first = pictured()
    reception.receive(copy_of(first, PatientID="", PatientName=""))

    row = reception.receive(first)

    assert (row.state, row.detail) == (InstanceState.REGISTERED, "PatientID, PatientName")


def test_correction_that_came_after_the_clock_was_set_back_is_the_correction(
    reception: Reception,
) -> None:
    first = pictured()
    fast = ReceiptClock(reception.spool.root, host=lambda: time.time_ns() + 3600 * 10**9)
    reception.spool.receipts = fast
    put(reception.spool, first)
    reception.spool.receipts = ReceiptClock(reception.spool.root)
    put(reception.spool, copy_of(first, PatientName="Richtig^Rita"), association="0" * 16)

    reception.registrar.register_all()

    (row,) = kept(reception)
    assert (row.reason, row.detail) == ("corrected", "PatientName")
    # No study waits an hour longer because a receipt is of a time that is yet to come.
    assert all(one.received_at <= datetime.now(UTC) for one in reception.instances())


def test_corrected_side_and_view_are_those_of_the_study(reception: Reception) -> None:
    first = pictured("MLO", "L")
    reception.receive(first)

    row = reception.receive(copy_of(first, ImageLaterality="R", ViewPosition="CC"))

    assert (row.laterality, row.view_position) == ("R", "CC")


@pytest.mark.parametrize(
    "changes",
    [
        {"RetrieveAETitle": "ARCHIVE"},
        {"InstanceAvailability": "ONLINE", "StorageMediaFileSetID": "DISC"},
        {"WindowCenter": "2048.0", "WindowWidth": "4096.00"},
        {"PatientName": "Quellwasser^Ottilie^^"},
        {"AccessionNumber": "", "PatientComments": ""},
        {"SpecificCharacterSet": "ISO_IR 100"},
        {"NumberOfFrames": "1"},
        {"RescaleSlope": "1", "RescaleIntercept": "0"},
        {"VOILUTFunction": "LINEAR"},
        {"PixelAspectRatio": ["1", "1"]},
    ],
    ids=",".join,
)
def test_what_an_archive_adds_makes_a_repeat_and_no_correction(
    reception: Reception, changes: dict[str, Any]
) -> None:
    first = pictured()
    reception.receive(first)

    assert reception.receive(copy_of(first, **changes)) is None
    assert len(reception.instances()) == 1
    files_and_rows(reception)


@pytest.mark.parametrize(
    "stated",
    [
        {"PresentationLUTShape": "IDENTITY"},
        {"RescaleSlope": "1.0", "RescaleIntercept": "0"},
        {"NumberOfFrames": "1", "VOILUTFunction": "LINEAR"},
    ],
    ids=",".join,
)
def test_value_that_its_absence_means_as_well_may_be_left_out(
    reception: Reception, stated: dict[str, Any]
) -> None:
    first = pictured(**stated)
    reception.receive(first)
    bare = copy_of(first)
    for keyword in stated:
        delattr(bare, keyword)

    assert reception.receive(bare) is None


def test_private_attributes_that_an_archive_adds_make_a_repeat(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)
    marked = copy_of(first)
    marked.private_block(0x0099, "SOME ARCHIVE", create=True).add_new(1, "LO", "kept by it")

    assert reception.receive(marked) is None


def test_equal_pixels_in_another_transfer_syntax_are_a_repeat(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)

    assert reception.receive(as_jpeg_ls(first), **JPEG_LS) is None
    assert len(reception.instances()) == 1


def test_equal_pixels_in_another_transfer_syntax_may_be_a_correction(
    reception: Reception,
) -> None:
    first = pictured()
    reception.receive(as_jpeg_ls(first), **JPEG_LS)

    row = reception.receive(copy_of(first, **CORRECTED))

    assert (row.state, row.reason) == (InstanceState.REGISTERED, "corrected")
    assert row.detail == ", ".join(sorted(CORRECTED))


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        (other_pixels, "other pixels"),
        (lambda one: copy_of(one, WindowCenter=1000), "WindowCenter"),
        (lambda one: copy_of(one, PhotometricInterpretation="MONOCHROME1"), "Photometric"),
        (lambda one: copy_of(one, PresentationLUTShape="INVERSE"), "PresentationLUTShape"),
        (lambda one: copy_of(other_pixels(one), **CORRECTED), "other pixels"),
        (lambda one: copy_of(one, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1"), "SOPClassUID"),
        (lambda one: copy_of(one, StudyInstanceUID="1.2.3"), "StudyInstanceUID"),
    ],
)
def test_other_image_under_the_same_uid_is_set_aside(
    reception: Reception, changed: Any, detail: str
) -> None:
    first = pictured()
    before = reception.receive(first)

    row = reception.receive(changed(first))

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "same-uid-other-content")
    assert detail in row.detail
    assert [one.id for one in kept(reception)] == [before.id]
    files_and_rows(reception)


def test_other_image_under_the_same_uid_is_compared_and_set_aside_once(
    reception: Reception,
) -> None:
    first = pictured()
    reception.receive(first)
    reception.receive(other_pixels(first))

    assert reception.receive(other_pixels(first)) is None
    assert len(reception.files("set-aside")) == 1


@pytest.mark.parametrize("view", ["MLO", "CC"])
def test_image_that_cannot_be_read_gives_way_to_one_that_can(
    reception: Reception, view: str
) -> None:
    whole = pictured()
    reception.receive(truncated(whole))

    row = reception.receive(copy_of(whole, ViewPosition=view))

    assert (row.state, row.reason) == (InstanceState.REGISTERED, "replaces-unreadable")
    assert [one.id for one in kept(reception)] == [row.id]
    files_and_rows(reception)


def test_damaged_copy_never_takes_the_place_of_a_good_one(reception: Reception) -> None:
    whole = pictured()
    before = reception.receive(whole)

    row = reception.receive(copy_of(truncated(whole), **CORRECTED))

    assert (row.state, row.reason) == (InstanceState.SET_ASIDE, "same-uid-other-content")
    assert "cannot be read" in row.detail
    assert [one.id for one in kept(reception)] == [before.id]


def test_of_two_damaged_copies_the_first_stays(reception: Reception) -> None:
    whole = pictured()
    before = reception.receive(truncated(whole))

    reception.receive(truncated(truncated(whole)))

    assert [one.id for one in kept(reception)] == [before.id]


def test_whole_image_of_another_patient_does_not_take_a_damaged_ones_place(
    reception: Reception,
) -> None:
    damaged = pictured("CC")
    reception.receive(pictured("MLO"))
    before = reception.receive(truncated(damaged))

    row = reception.receive(copy_of(damaged, **SOMEBODY_ELSE))

    assert row.reason == "two-patients"
    assert before.id in [one.id for one in kept(reception)]


@pytest.mark.parametrize("loss", ["gone", "changed"])
def test_image_whose_file_was_lost_is_kept_when_it_comes_again(
    reception: Reception, loss: str
) -> None:
    image = pictured()
    file = reception.spool.file(reception.receive(image).place)
    if loss == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-100] + bytes(100))

    row = reception.receive(image)

    assert row.state is InstanceState.REGISTERED
    assert reception.spool.file(row.place).is_file()
    files_and_rows(reception)


def test_correction_there_and_back_is_the_newest_each_time(reception: Reception) -> None:
    first = pictured()
    reception.receive(first)
    reception.receive(copy_of(first, **CORRECTED))

    row = reception.receive(first)

    assert [one.id for one in kept(reception)] == [row.id]
    assert [one.state for one in reception.instances()].count(InstanceState.REPLACED) == 2
    files_and_rows(reception)


@pytest.mark.parametrize("is_damaged", [False, True], ids=["corrected since", "damaged"])
def test_repeat_that_a_power_cut_brings_back_is_dropped_again(
    reception: Reception, *, is_damaged: bool
) -> None:
    first = pictured()
    former = truncated(first) if is_damaged else first
    reception.receive(former)
    repeat = reception.spool.root / incoming_place(put(reception.spool, former))
    content = repeat.read_bytes()

    row = reception.receive(first if is_damaged else copy_of(first, **CORRECTED))
    assert not repeat.exists()
    repeat.write_bytes(content)  # its removal was not on the disk yet
    reception.registrar.register_all()

    assert [one.id for one in kept(reception)] == [row.id]
    assert len(reception.instances()) == 2
    files_and_rows(reception)


def test_older_copy_that_is_registered_later_undoes_no_correction_and_is_told(
    reception: Reception,
) -> None:
    first = pictured()
    older = reception.spool.root / incoming_place(put(reception.spool, first))
    content = older.read_bytes()
    older.unlink()  # set aside meanwhile, for example, and brought back by a retry

    row = reception.receive(copy_of(first, **CORRECTED))
    older.write_bytes(content)
    reception.registrar.register_all()

    assert [one.id for one in kept(reception)] == [row.id]
    set_aside = reception.instances()[-1]
    assert (set_aside.state, set_aside.reason) == (
        InstanceState.SET_ASIDE,
        "same-uid-other-content",
    )
    assert set_aside.detail == (
        "this SOP Instance UID was received later with other values (AccessionNumber, "
        "PatientBirthDate, PatientID, PatientName), "
        "which count: send this image again if its own are right"
    )
    files_and_rows(reception)


def test_image_and_its_corrections_that_wait_together_end_as_one_by_one(
    reception: Reception,
) -> None:
    from node_factory import put

    first = pictured()
    corrected = copy_of(first, **CORRECTED)
    for dataset in (first, first, corrected, other_pixels(first), corrected):
        put(reception.spool, dataset)

    reception.registrar.register_all()

    states = [(row.state.value, row.reason) for row in reception.instances()]
    assert states == [
        ("replaced", ""),
        ("registered", "corrected"),
        ("set_aside", "same-uid-other-content"),
    ]
    files_and_rows(reception)
