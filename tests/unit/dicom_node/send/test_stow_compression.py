"""Compressed pictures by STOW-RS, to archives that take them and to others."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from node_factory import SECONDARY_CAPTURE, mammogram
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from stow_double import Answering, archive, failed, failed_without_uid, sent, taken

from dicom_node.objects.sc.pixel_encoding import DEFAULT_FORM, set_pixels
from dicom_node.send.outcome import ObjectToSend, Outcome

__all__ = ["archive"]


@pytest.fixture
def picture(tmp_path: Path) -> ObjectToSend:
    """Write a picture that is compressed without losses."""
    dataset = mammogram(SOPClassUID=SECONDARY_CAPTURE)
    dataset.file_meta = FileMetaDataset()
    drawn = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    set_pixels(dataset, drawn, DEFAULT_FORM, [])
    file = tmp_path / "picture.dcm"
    dataset.save_as(file, enforce_file_format=True)
    uid = str(dataset.SOPInstanceUID)
    return ObjectToSend(key=1, file=file, sop_class_uid=SECONDARY_CAPTURE, sop_instance_uid=uid)


def syntaxes_of(archive: Answering) -> list[str]:
    """Return the transfer syntax of each object that the archive was sent."""
    parts = [body[body.index(b"DICM") - 128 :] for _, _, body in archive.requests]
    return [str(dcmread(BytesIO(part)).file_meta.TransferSyntaxUID) for part in parts]


def test_picture_is_sent_compressed(archive: Answering, picture: ObjectToSend) -> None:
    (answer,) = sent(archive, picture)

    assert answer.outcome is Outcome.ACCEPTED
    assert syntaxes_of(archive) == [RLELossless]


def test_picture_is_sent_uncompressed_to_who_wants_it_so(
    archive: Answering, picture: ObjectToSend
) -> None:
    (answer,) = sent(archive, replace(picture, is_to_be_uncompressed=True))

    assert answer.outcome is Outcome.ACCEPTED
    assert syntaxes_of(archive) == [ExplicitVRLittleEndian]


@pytest.mark.parametrize(
    ("status", "refusal"), [(415, "none"), (409, "reason"), (202, "other"), (400, "reason")]
)
def test_picture_whose_compression_is_refused_is_sent_again_without(
    archive: Answering, picture: ObjectToSend, status: int, refusal: str
) -> None:
    refusals = {
        "none": {},
        "reason": failed(picture.sop_instance_uid, 0xC122),
        "other": failed_without_uid(0xC122),
    }
    archive.statuses = [status, 200]
    documents = [refusals[refusal], taken(picture.sop_instance_uid)]
    archive.document = lambda _: documents.pop(0)

    (answer,) = sent(archive, picture)

    assert answer.outcome is Outcome.ACCEPTED
    assert syntaxes_of(archive) == [RLELossless, ExplicitVRLittleEndian]
