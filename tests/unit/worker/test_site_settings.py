"""What the settings say of the site stands in every object that a worker makes."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pydicom
from pydicom.dataset import Dataset
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.settings.ways_out.results import ResultSettings
from dicom_node.spool.identity_key import identity_key, serial_number_of
from dicom_node.studies.ledger.tables import ResultObject
from worker.runtime import Runtime


def objects_by(node: Runtime, reception: Reception) -> list[Dataset]:
    reception.receive(shown_mammogram(StudyDate="20260701"))
    run_analysis(node, due_analysis(reception))
    files = [reception.spool.file(row.place) for row in reception.rows(ResultObject)]
    assert files
    return [pydicom.dcmread(io.BytesIO(file.read_bytes())) for file in files]


def test_objects_are_in_the_time_zone_of_the_settings(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(results=ResultSettings(time_zone="Asia/Kathmandu"))

    for one in objects_by(node, reception):
        assert one.TimezoneOffsetFromUTC == "+0545"
        text = f"{one.ContentDate}{one.ContentTime}{one.TimezoneOffsetFromUTC}"
        made = datetime.strptime(text, "%Y%m%d%H%M%S.%f%z")
        assert abs(datetime.now(UTC) - made) < timedelta(minutes=30)


def test_device_has_the_number_of_the_settings(
    runtime_with: Callable[..., Runtime], reception: Reception
) -> None:
    node = runtime_with(results=ResultSettings(device_serial_number="NODE-7"))

    assert {one.DeviceSerialNumber for one in objects_by(node, reception)} == {"NODE-7"}


def test_device_without_a_number_in_the_settings_has_that_of_its_spool(
    node: Runtime, reception: Reception
) -> None:
    number = serial_number_of(node.spool)

    assert {one.DeviceSerialNumber for one in objects_by(node, reception)} == {number}
    assert len(number) == 16
    assert number not in identity_key(node.spool).hex()
