"""Two copies of an image are the same if their values are, however these are coded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from corrected_images import copy_of, pictured
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.facts.image_comparison import likeness_of
from dicom_node.facts.likeness import Likeness, Sameness

ENTRIES = (np.linspace(0, 1, 4096) ** 2 * 4095).astype(np.uint16)
REPEAT = Likeness(verdict=Sameness.REPEATED)

Compare = Callable[..., Likeness]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Return what compares two data sets, the second in another transfer syntax if wanted."""

    def written(name: str, dataset: Dataset, syntax: str) -> Path:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        pydicom.dcmwrite(tmp_path / name, dataset, enforce_file_format=True)
        return tmp_path / name

    def compared(kept: Dataset, new: Dataset, syntax: str = ExplicitVRLittleEndian) -> Likeness:
        return likeness_of(
            written("kept.dcm", kept, ExplicitVRLittleEndian), written("new.dcm", new, syntax)
        )

    return compared


def table(
    vr: str = "OW",
    *,
    order: str = "<",
    first: tuple[str, int] = ("US", 0),
    entries: "np.ndarray[Any, np.dtype[np.uint16]]" = ENTRIES,
    explanation: str = "NORMAL",
) -> Dataset:
    """Return an item of VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", first[0], [len(entries), first[1], 12])
    item.LUTExplanation = explanation
    words = entries.tolist() if vr == "US" else entries.astype(f"{order}u2").tobytes()
    item.add_new("LUTData", vr, words)
    return item


def big_endian(dataset: Dataset) -> Dataset:
    """Swap the bytes of the pixels, as pydicom leaves them."""
    words = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
    return copy_of(dataset, PixelData=words.tobytes())


@pytest.mark.parametrize(
    ("one", "other", "syntax"),
    [
        (table("US"), table("US"), ImplicitVRLittleEndian),
        (table("US"), table("OW"), ExplicitVRLittleEndian),
        (table("OW"), table("US"), ExplicitVRLittleEndian),
        (table("US"), table("US"), ExplicitVRBigEndian),
        (table("OW"), table("OW", order=">"), ExplicitVRBigEndian),
        (table("US"), table("OW", order=">"), ExplicitVRBigEndian),
        (table(first=("US", 65000)), table(first=("SS", -536)), ExplicitVRLittleEndian),
        (table(), table(explanation="Normal contrast"), ExplicitVRLittleEndian),
    ],
)
def test_look_up_table_in_another_encoding_shows_the_same_image(
    compare: Compare, one: Dataset, other: Dataset, syntax: str
) -> None:
    kept = pictured(VOILUTSequence=[one])
    new = copy_of(kept, VOILUTSequence=[other])
    if syntax == ExplicitVRBigEndian:
        new = big_endian(new)

    assert compare(kept, new, syntax) == REPEAT


@pytest.mark.parametrize(
    "other",
    [
        table(entries=ENTRIES[::-1]),
        table("US", entries=ENTRIES[::-1]),
        table(first=("US", 64999)),
        table(order=">"),
    ],
)
def test_another_look_up_table_shows_another_image(compare: Compare, other: Dataset) -> None:
    kept = pictured(VOILUTSequence=[table("US", first=("SS", -536))])

    found = compare(kept, copy_of(kept, VOILUTSequence=[other]))

    assert (found.verdict, found.detail) == (
        Sameness.DIFFERENT,
        "shown otherwise (VOILUTSequence)",
    )


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("keyword", ["PixelPaddingValue", "PixelPaddingRangeLimit"])
def test_padding_with_equal_bits_is_the_same_padding(
    compare: Compare, syntax: str, keyword: str
) -> None:
    kept = pictured(PixelRepresentation=1)
    new = copy_of(kept)
    kept.add_new(keyword, "US", 63536)
    new.add_new(keyword, "SS", -2000)

    assert compare(kept, new, syntax) == REPEAT


def test_words_beside_a_window_show_no_other_image(compare: Compare) -> None:
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth, voi.WindowCenterWidthExplanation = 2048, 4096, "NORMAL"
    group = Dataset()
    group.FrameVOILUTSequence = [voi]
    kept = pictured(SharedFunctionalGroupsSequence=[group], WindowCenterWidthExplanation="NORMAL")
    new = copy_of(kept, WindowCenterWidthExplanation="Normal")
    (other,) = new.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    other.WindowCenterWidthExplanation, other.VOILUTFunction = "Normal", "LINEAR"

    assert compare(kept, new) == REPEAT


def test_overlay_in_big_endian_is_the_same_overlay(compare: Compare) -> None:
    bits = np.arange(256, dtype=np.uint16)
    kept, new = pictured(), big_endian(pictured())
    new.SOPInstanceUID = kept.SOPInstanceUID
    for dataset, order in ((kept, "<"), (new, ">")):
        dataset.add_new(0x60003000, "OW", bits.astype(f"{order}u2").tobytes())

    assert compare(kept, new, ExplicitVRBigEndian) == REPEAT


def test_correction_that_an_archive_converts_to_implicit_vr_is_a_correction(
    compare: Compare,
) -> None:
    kept = pictured(VOILUTSequence=[table("US")])

    found = compare(kept, copy_of(kept, PatientName="Richtig^Rita"), ImplicitVRLittleEndian)

    assert found == Likeness(verdict=Sameness.CORRECTED, changed=("PatientName",))


@pytest.mark.parametrize(
    "added",
    [
        {"NumberOfPatientRelatedStudies": 3, "NumberOfPatientRelatedSeries": 9},
        {"NumberOfPatientRelatedInstances": 36, "AnatomicRegionsInStudyCodeSequence": [Dataset()]},
        {"ModalitiesInStudy": ["MG", "SR"], "SOPClassesInStudy": ["1.2.3"]},
        {"AvailableTransferSyntaxUID": ExplicitVRLittleEndian},
        {"InstanceOriginStatus": "LOCAL", "QueryRetrieveView": "CLASSIC"},
        {"StudyStatusID": "VERIFIED"},
        {"IconImageSequence": [Dataset()]},
        {"LossyImageCompression": "00"},
        {"PatientIdentityRemoved": "NO"},
    ],
    ids=",".join,
)
def test_what_an_archive_adds_makes_a_repeat(compare: Compare, added: dict[str, Any]) -> None:
    bare = pictured()
    stated = copy_of(bare, **added)

    assert compare(bare, stated) == REPEAT
    assert compare(stated, bare) == REPEAT


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("PatientBirthDate", "19600101", "1960.01.01"),
        ("StudyTime", "100000", "100000.000"),
        ("StudyTime", "100000.5", "10:00:00.500"),
        ("AcquisitionDateTime", "20260101100000", "20260101100000.000000"),
        ("AcquisitionDateTime", "20260101100000.25+0100", "20260101100000.2500+0100"),
    ],
)
def test_equal_dates_and_times_are_no_correction(
    compare: Compare, keyword: str, one: str, other: str
) -> None:
    kept = pictured(**{keyword: one})

    assert compare(kept, copy_of(kept, **{keyword: other})) == REPEAT


@pytest.mark.parametrize(
    ("keyword", "one", "other"),
    [
        ("PatientBirthDate", "19600101", "19600110"),
        ("StudyTime", "100000", "1000"),
        ("StudyTime", "100000", "100000.01"),
        ("AcquisitionDateTime", "20260101100000+0100", "20260101100000+0200"),
        ("LossyImageCompression", "00", "01"),
    ],
)
def test_other_dates_and_times_are_a_correction(
    compare: Compare, keyword: str, one: str, other: str
) -> None:
    kept = pictured(**{keyword: one})

    found = compare(kept, copy_of(kept, **{keyword: other}))

    assert found == Likeness(verdict=Sameness.CORRECTED, changed=(keyword,))


@pytest.mark.parametrize(
    "emptied",
    [
        ["PatientID"],
        ["PatientName"],
        ["PatientBirthDate"],
        ["IssuerOfPatientID", "PatientBirthDate"],
        ["PatientID", "PatientName", "AccessionNumber", "ImageLaterality"],
    ],
    ids=",".join,
)
def test_copy_that_only_says_less_of_the_patient_corrects_nothing(
    compare: Compare, emptied: list[str]
) -> None:
    kept = pictured(IssuerOfPatientID="KLINIK", AccessionNumber="A-1")

    assert compare(kept, copy_of(kept, **dict.fromkeys(emptied, ""))) == REPEAT


def test_copy_that_empties_the_id_and_corrects_the_name_is_a_correction(compare: Compare) -> None:
    kept = pictured()

    found = compare(kept, copy_of(kept, PatientID="", PatientName="Richtig^Rita"))

    assert found.changed == ("PatientID", "PatientName")


def frame_of(laterality: str, **told: str) -> list[Dataset]:
    """Return functional groups that name the breast."""
    group, anatomy = Dataset(), Dataset()
    anatomy.FrameLaterality = laterality
    group.FrameAnatomySequence = [anatomy]
    content = Dataset()
    for keyword, value in told.items():
        setattr(content, keyword, value)
    group.FrameContentSequence = [content]
    return [group]


def test_side_of_a_nameless_copys_frames_is_corrected_and_their_other_words_are_not(
    compare: Compare,
) -> None:
    kept = pictured(laterality="", PerFrameFunctionalGroupsSequence=frame_of("L"))
    nameless = copy_of(kept, PatientID="", PatientName="")

    def changed(frames: list[Dataset]) -> tuple[str, ...]:
        return compare(kept, copy_of(nameless, PerFrameFunctionalGroupsSequence=frames)).changed

    assert changed(frame_of("R")) == ("PerFrameFunctionalGroupsSequence",)
    assert changed(frame_of("L", FrameComments="kept by a study")) == ()


@pytest.mark.parametrize(("keyword", "value"), [("ImageLaterality", "R"), ("ViewPosition", "CC")])
def test_another_side_or_view_of_a_nameless_copy_is_a_correction(
    compare: Compare, keyword: str, value: str
) -> None:
    kept = pictured()
    nameless = {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}

    found = compare(kept, copy_of(kept, **nameless, StudyDescription="7", **{keyword: value}))

    assert found == Likeness(verdict=Sameness.CORRECTED, changed=(keyword,))
