"""An altered, missing or added line of a chained file is named, whichever byte it was."""

import pytest

from dicom_node.audit.chained_lines import START, line_of, parsed, read_chain

ENTRIES = [{"number": n, "who": "anna", "act": "retry", "studies": [f"1.2.{n}"]} for n in (1, 2, 3)]


@pytest.fixture
def lines() -> list[bytes]:
    made, digest = [], START
    for entry in ENTRIES:
        made.append(line_of(entry, digest))
        found = parsed(made[-1][:-1])
        assert found is not None
        digest = found[0]
    return made


def faulty(lines: list[bytes]) -> list[int]:
    return [fault.line for fault in read_chain(lines).faults]


def test_lines_that_nobody_touched_have_no_fault(lines: list[bytes]) -> None:
    chain = read_chain(lines)

    assert (chain.faults, chain.entries) == ([], ENTRIES)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_every_single_altered_byte_is_named_by_its_line_alone(
    lines: list[bytes], flip: int
) -> None:
    whole = b"".join(lines)
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= flip
        found = faulty(bytes(altered).splitlines(keepends=True))

        of = whole[:place].count(b"\n") + 1
        assert found, f"byte {place} was altered and nobody says so"
        assert found[0] == of, f"byte {place} is of line {of}, not of {found}"


def test_removed_line_is_noticed_at_the_next_one(lines: list[bytes]) -> None:
    assert faulty([lines[0], lines[2]]) == [2]


def test_exchanged_lines_are_noticed(lines: list[bytes]) -> None:
    assert faulty([lines[1], lines[0], lines[2]]) != []


def test_line_that_is_cut_off_in_its_middle_is_named(lines: list[bytes]) -> None:
    chain = read_chain([*lines[:2], lines[2][:-9]])

    assert [fault.in_words() for fault in chain.faults] == ["line 3: its end is missing"]


def test_another_spelling_of_the_same_content_is_an_altered_line(lines: list[bytes]) -> None:
    assert faulty([lines[0].replace(b'":', b'": '), *lines[1:]]) == [1]
