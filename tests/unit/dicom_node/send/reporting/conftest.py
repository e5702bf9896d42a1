"""Measurement reports of ten kinds of study, as data sets and on disk."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from measurement_reports_read import report_of
from pydicom.dataset import Dataset

from dicom_node.send.outcome import ObjectToSend


@pytest.fixture(scope="session")
def report_dataset() -> Callable[[str], Dataset]:
    """Return the measurement report of a kind of study, made once."""
    return functools.cache(report_of)


@pytest.fixture
def report_file(
    tmp_path: Path, report_dataset: Callable[[str], Dataset]
) -> Callable[..., ObjectToSend]:
    """Write measurement reports as an analysis does, each with a key of its own."""
    keys = iter(range(1, 100))

    def write(case: str = "one finding") -> ObjectToSend:
        dataset, key = report_dataset(case), next(keys)
        file = tmp_path / f"report-{key}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        return ObjectToSend(
            key=key,
            file=file,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
        )

    return write
