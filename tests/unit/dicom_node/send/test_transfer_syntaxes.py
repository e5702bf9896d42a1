"""Every kind of result reaches an archive in a transfer syntax that the archive takes."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archive import Archive, sent
from every_kind import objects_of
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)
from pynetdicom import ALL_TRANSFER_SYNTAXES

from dicom_node.facts.result_kinds import SECONDARY_CAPTURE_STORAGE, ResultKind
from dicom_node.send.outcome import ObjectToSend, Outcome

EVERY_CLASS = tuple({uid for kind in ResultKind for uid in kind.row.sop_class_uids})
STUDIES = ("one finding", "compressed pictures", "tomosynthesis", "Japanese name")
ARCHIVES = {
    "Implicit VR alone": (ImplicitVRLittleEndian,),
    "Explicit VR alone": (ExplicitVRLittleEndian,),
    "every syntax": tuple(ALL_TRANSFER_SYNTAXES),
}


def written(datasets: list[Dataset], folder: Path) -> list[ObjectToSend]:
    """Write result objects as an analysis does."""
    items = []
    for key, dataset in enumerate(datasets):
        file = folder / f"{key}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        sop_class, instance = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
        items.append(
            ObjectToSend(key=key, file=file, sop_class_uid=sop_class, sop_instance_uid=instance)
        )
    return items


_OF_THE_ENCODING = frozenset({"PixelData", "PhotometricInterpretation", "PlanarConfiguration"})


def of_class(study: str, syntax: UID) -> Dataset:
    """Return a picture that is stored in some transfer syntax."""
    pictures = [
        one.dataset for one in objects_of(study) if one.kind is ResultKind.SECONDARY_CAPTURE
    ]
    for picture in pictures:
        if picture.file_meta.TransferSyntaxUID == syntax:
            return picture
    plain = deepcopy(pictures[0])
    assert syntax == ExplicitVRLittleEndian
    plain.decompress(generate_instance_uid=False)
    return plain


def without_pixels(dataset: Dataset) -> Dataset:
    """Return what an object says, apart from how its pixels are stored."""
    kept = Dataset()
    for element in dataset:
        if element.keyword not in _OF_THE_ENCODING:
            kept.add(element)
    return kept


@pytest.mark.parametrize("archive_takes", ARCHIVES)
@pytest.mark.parametrize("study", STUDIES)
def test_archive_gets_every_object_as_it_was_made(
    archive_with: Callable[..., Archive], tmp_path: Path, study: str, archive_takes: str
) -> None:
    items = written([one.dataset for one in objects_of(study)], tmp_path)
    archive = archive_with(classes=EVERY_CLASS, syntaxes=ARCHIVES[archive_takes])

    answers = sent(archive, *items)

    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    for item, after in zip(items, archive.datasets, strict=True):
        before = dcmread(item.file)
        assert after.file_meta.TransferSyntaxUID in ARCHIVES[archive_takes]
        assert without_pixels(after) == without_pixels(before)
        if "PixelData" in before and "SegmentSequence" not in before:
            np.testing.assert_array_equal(pixel_array(after), pixel_array(before))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGBaseline8Bit])
def test_archive_that_takes_everything_gets_compressed_pictures_compressed(
    archive_with: Callable[..., Archive], tmp_path: Path, syntax: UID
) -> None:
    picture = of_class("compressed pictures", syntax)
    archive = archive_with(classes=EVERY_CLASS, syntaxes=ARCHIVES["every syntax"])

    sent(archive, *written([picture], tmp_path))

    (after,) = archive.datasets
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.PixelData == picture.PixelData


@pytest.mark.parametrize("syntax", [RLELossless, JPEGBaseline8Bit])
def test_who_wants_pictures_uncompressed_gets_them_so_whatever_the_archive_takes(
    archive_with: Callable[..., Archive], tmp_path: Path, syntax: UID
) -> None:
    picture = of_class("compressed pictures", syntax)
    archive = archive_with(classes=EVERY_CLASS, syntaxes=ARCHIVES["every syntax"])
    (item,) = written([picture], tmp_path)

    sent(archive, replace(item, is_to_be_uncompressed=True))

    (after,) = archive.datasets
    assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert after.SOPInstanceUID == picture.SOPInstanceUID
    np.testing.assert_array_equal(pixel_array(after), pixel_array(dcmread(item.file)))


def test_decompressed_jpeg_still_says_that_it_lost_something(
    archive_with: Callable[..., Archive], tmp_path: Path
) -> None:
    picture = of_class("compressed pictures", JPEGBaseline8Bit)
    archive = archive_with(classes=EVERY_CLASS, syntaxes=ARCHIVES["Implicit VR alone"])

    sent(archive, *written([picture], tmp_path))

    (after,) = archive.datasets
    assert after.SOPInstanceUID == picture.SOPInstanceUID
    assert after.LossyImageCompression == "01"
    assert after.PhotometricInterpretation == "RGB"


def test_what_cannot_be_sent_is_refused_in_words_while_the_rest_goes(
    archive_with: Callable[..., Archive], tmp_path: Path
) -> None:
    packed = of_class("compressed pictures", RLELossless)
    plain = of_class("one finding", ExplicitVRLittleEndian)
    archive = archive_with(classes=(SECONDARY_CAPTURE_STORAGE,), syntaxes=(RLELossless,))

    taken, refused = sent(archive, *written([packed, plain], tmp_path))

    assert (taken.outcome, refused.outcome) == (Outcome.ACCEPTED, Outcome.REFUSED)
    assert refused.status == (
        "the destination accepts Secondary Capture Image Storage only in RLE Lossless"
    )


def test_damaged_compressed_picture_is_refused_while_the_rest_goes(
    archive_with: Callable[..., Archive], tmp_path: Path
) -> None:
    packed = of_class("compressed pictures", JPEGBaseline8Bit)
    plain = of_class("one finding", ExplicitVRLittleEndian)
    damaged, good = written([packed, plain], tmp_path)
    content = damaged.file.read_bytes()
    at = content.index(b"\xff\xd8\xff")
    damaged.file.write_bytes(content[: at + 2] + bytes(200) + content[at + 202 :])
    archive = archive_with(classes=EVERY_CLASS, syntaxes=ARCHIVES["Explicit VR alone"])

    broken, delivered = sent(archive, damaged, good)

    assert (broken.outcome, delivered.outcome) == (Outcome.REFUSED, Outcome.ACCEPTED)
    assert "cannot be read or converted" in broken.status
