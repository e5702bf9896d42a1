"""Result objects on disk, to be sent."""

from collections.abc import Callable
from pathlib import Path

import pytest
from node_factory import COMPREHENSIVE_SR, mammogram
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.send.outcome import ObjectToSend

MakeObject = Callable[..., ObjectToSend]


@pytest.fixture
def result_object(tmp_path: Path) -> MakeObject:
    """Write result objects as an analysis does, each with a key of its own."""
    keys = iter(range(1, 100))

    def make(sop_class_uid: str = COMPREHENSIVE_SR) -> ObjectToSend:
        key = next(keys)
        dataset = mammogram(SOPClassUID=sop_class_uid)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = tmp_path / f"result-{key}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        return ObjectToSend(
            key=key,
            file=file,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=str(dataset.SOPInstanceUID),
        )

    return make
