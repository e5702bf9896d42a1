"""Time zone and serial number of a site are checked when the settings are read."""

import pytest
from pydantic import ValidationError

from dicom_node.settings.ways_out.results import ResultSettings


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/New_York"])
def test_time_zone_of_the_iana_database_is_taken(name: str) -> None:
    assert ResultSettings(time_zone=name).time_zone == name


@pytest.mark.parametrize("name", ["Berlin", "", "+01:00", "../etc/passwd", "/etc/localtime"])
def test_unknown_time_zone_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(ValidationError, match="use an IANA name such as Europe/Berlin"):
        ResultSettings(time_zone=name)


@pytest.mark.parametrize("number", ["", " ", "a\\b", "x" * 65, "Gerät"])
def test_serial_number_that_is_no_legal_text_is_refused(number: str) -> None:
    with pytest.raises(ValidationError, match="device_serial_number"):
        ResultSettings(device_serial_number=number)
