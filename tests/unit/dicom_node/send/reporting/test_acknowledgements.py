"""What follows from the acknowledgement of an HL7 message."""

import pytest

from dicom_node.send.outcome import Outcome
from dicom_node.send.reporting.acknowledgement import read_acknowledgement

MSH = "MSH|^~\\&|RIS|||MAMMOCLIP|20260102||ACK|77|P|2.5.1"


def read(*segments: str, end: str = "\r") -> tuple[str, Outcome | None] | None:
    answer = read_acknowledgement(end.join([MSH, *segments, ""]).encode())
    return None if answer is None else (answer.control_id, answer.outcome)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AA", Outcome.ACCEPTED),
        ("CA", Outcome.ACCEPTED),
        ("AE", Outcome.POSTPONED),
        ("CE", Outcome.POSTPONED),
        ("AR", Outcome.REFUSED),
        ("CR", Outcome.REFUSED),
        ("XX", None),
        ("", None),
    ],
)
def test_code_decides(code: str, outcome: Outcome | None) -> None:
    assert read(f"MSA|{code}|M1") == ("M1", outcome)


@pytest.mark.parametrize("code", ["AE", "AR", "CE", "CR"])
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("101", Outcome.REFUSED),
        ("103", Outcome.REFUSED),
        ("203", Outcome.REFUSED),
        ("204", Outcome.POSTPONED),
        ("206", Outcome.POSTPONED),
        ("207", Outcome.POSTPONED),
    ],
)
def test_error_code_comes_before_it(code: str, error: str, outcome: Outcome) -> None:
    assert read(f"MSA|{code}|M1", f"ERR||PID^1^5|{error}^Words^HL70357|E") == ("M1", outcome)


def test_passing_error_among_several_has_the_message_sent_again() -> None:
    errors = ("ERR|||101^x|E", "ERR|||207^x|E")

    assert read("MSA|AR|M1", *errors) == ("M1", Outcome.POSTPONED)


def test_accepted_message_with_a_warning_is_accepted() -> None:
    assert read("MSA|AA|M1", "ERR|||207^x|W") == ("M1", Outcome.ACCEPTED)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_ends_of_segments_are_read_as_receivers_write_them(end: str) -> None:
    assert read("MSA|AA|M1", end=end) == ("M1", Outcome.ACCEPTED)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x06",
        b"hello",
        b"MSH",
        b"MSH|^~",
        MSH.encode(),
        b"MSA|AA|M1",
        MSH.encode() + b"\rMSA",
    ],
)
def test_what_is_no_acknowledgement_says_nothing(content: bytes) -> None:
    assert read_acknowledgement(content) is None


def test_words_hold_codes_and_nothing_that_the_receiver_wrote() -> None:
    text = f"{MSH}\rMSA|AE|M1|Doe^Jane unknown\rERR||PID|204^Doe Jane^HL70357|E||||Doe Jane\r"

    answer = read_acknowledgement(text.encode())

    assert answer is not None
    assert answer.in_words() == "acknowledged with AE, error 204"


def test_error_code_that_is_none_is_not_told() -> None:
    answer = read_acknowledgement(f"{MSH}\rMSA|AE|M1\rERR|||Doe Jane 1960|E\r".encode())

    assert answer is not None
    assert answer.errors == ()
