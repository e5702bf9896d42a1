"""Where an object came from is written into its file, and read back as rules compare it."""

import pytest

from dicom_node.facts.presentation_address import address_in, presentation_address


@pytest.mark.parametrize(
    ("address", "written", "read"),
    [
        ("10.1.2.3", "dicom://10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "dicom://10.1.2.3", "10.1.2.3"),
        ("fd00:0::7", "dicom://[fd00::7]", "fd00::7"),
        ("fe80::1%eth0", "dicom://[fe80::1]", "fe80::1"),
        ("rest", "", ""),
        ("", "", ""),
    ],
)
def test_address_comes_back_in_its_usual_form(address: str, written: str, read: str) -> None:
    assert presentation_address(address) == written
    assert address_in(written) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("dicom://10.1.2.3:11112", "10.1.2.3"),
        (" DICOM://10.1.2.3 ", "10.1.2.3"),
        ("dicom://[fd00::7]:104", "fd00::7"),
        ("http://10.1.2.3", ""),
        ("dicom://scanner.example", ""),
        ("dicom://[10.1", ""),
    ],
)
def test_what_others_wrote_is_an_address_or_nothing(text: str, read: str) -> None:
    assert address_in(text) == read
