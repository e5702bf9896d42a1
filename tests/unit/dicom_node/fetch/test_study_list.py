"""A list of studies is read whole, and each bad line named without its values."""

from pathlib import Path

import pytest

from dicom_node.fetch.study_list import WantedStudy, read_list
from dicom_node.listed_lines import ListedLinesError


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    file = folder / "list.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_lines_are_read_whatever_divides_them(tmp_path: Path, delimiter: str) -> None:
    heading = delimiter.join(["Accession Number", "study_instance_uid", "ward"])
    lines = [delimiter.join(["A17", "", "x"]), "", delimiter.join(["", "1.2.3", "y"])]

    found = read_list(written(tmp_path, "\r\n".join([heading, *lines]), "utf-8-sig"))

    assert found.wanted == [
        WantedStudy(line=2, accession_number="A17"),
        WantedStudy(line=4, study_instance_uid="1.2.3"),
    ]
    assert found.bad == []


def test_patients_may_have_dates(tmp_path: Path) -> None:
    found = read_list(written(tmp_path, "patient_id,from,to\nP1,20260101,\nP1,,\n"))

    assert found.wanted == [
        WantedStudy(line=2, patient_id="P1", first_date="20260101"),
        WantedStudy(line=3, patient_id="P1"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",,,", "no value for any"),
        ("1.2.x,,,", "study_instance_uid is not a UID"),
        ("1." + "2" * 64 + ",,,", "study_instance_uid is not a UID"),
        (",A*,,", "accession_number holds one of"),
        (",,P?,", "patient_id holds one of"),
        (",,P\\Q,", "patient_id holds one of"),
        (",2.02401E+15,,", "accession_number was shortened by a spreadsheet"),
        (',,"4,5e+11",', "patient_id was shortened by a spreadsheet"),
        (",,P\x1b[0m,", "a value holds a control character"),
        (",,P\0Q,", "a value holds a control character"),
        (',"A1', "it is no line of a CSV file"),
        ("," + "9" * 200_000 + ",,", "it is no line of a CSV file"),
        (",,P1,20261301", "from and to are dates"),
        (f",{'9' * 65},,", "accession_number is longer than 64"),
        (",,P1,1.2.2026", "from and to are dates"),
        (",A17,,,,", "more values than the heading names"),
        (",A1,,", "the same as line 2"),
    ],
)
def test_bad_line_is_named_and_the_others_are_read(tmp_path: Path, line: str, reason: str) -> None:
    text = f"study_instance_uid,accession_number,patient_id,from\n,A1,,\n{line}\n,A2,,\n"

    found = read_list(written(tmp_path, text))

    assert [one.accession_number for one in found.wanted] == ["A1", "A2"]
    if line == ",,,":
        assert found.bad == []  # a line of commas is an empty one
        return
    ((number, why),) = [(one.line, one.reason) for one in found.bad]
    assert number == 3
    assert why.startswith(reason)


@pytest.mark.parametrize(
    "text", ["", "A17\nA18\n", "name,ward\nx,y\n"], ids=["empty", "no heading", "other heading"]
)
def test_file_that_is_no_list_is_told_as_such(tmp_path: Path, text: str) -> None:
    with pytest.raises(ListedLinesError, match="the first line must name"):
        read_list(written(tmp_path, text))


def test_text_of_another_encoding_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ListedLinesError, match="UTF-8"):
        read_list(written(tmp_path, "patient_id\nMüller\n", "latin-1"))


def test_three_wrong_lines_of_ten_thousand_are_named_and_take_no_other(tmp_path: Path) -> None:
    lines = [f"A{number},ward {number % 7}" for number in range(10_000)]
    lines[5] = '"A5,ward 5'  # closed nowhere: it must not swallow those behind it
    lines[4711] = "A*,ward"
    lines[9_999] = "A7,ward"

    found = read_list(written(tmp_path, "\n".join(["accession_number,ward", *lines])))

    assert [one.line for one in found.bad] == [7, 4713, 10_001]
    assert len(found.wanted) == 9_997
    assert all(one.accession_number == f"A{one.line - 2}" for one in found.wanted)


def test_line_ends_of_other_systems_and_within_values_move_no_number(tmp_path: Path) -> None:
    text = "patient_id\rP1\rP\x0b2\rP\u2028" + "3\rP4\r"

    found = read_list(written(tmp_path, text))

    assert [(one.line, one.patient_id) for one in found.wanted] == [(2, "P1"), (5, "P4")]
    assert [one.line for one in found.bad] == [3, 4]


@pytest.mark.parametrize(
    ("heading", "says"),
    [
        ("patient_id,form", "no column is called form; did you mean from?"),
        ("study_instance_uid,acession_number", "did you mean accession_number?"),
        ("patient_id,patient_id", "names patient_id twice"),
        ('patient_id,"from', "the first line is none of a CSV file"),
    ],
)
def test_heading_that_would_lose_a_column_in_silence_is_refused(
    tmp_path: Path, heading: str, says: str
) -> None:
    with pytest.raises(ListedLinesError) as caught:
        read_list(written(tmp_path, f"{heading}\nP1,20260101\n"))

    assert says in str(caught.value)
