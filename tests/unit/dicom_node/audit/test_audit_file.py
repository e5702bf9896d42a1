"""The audit file: several processes add lines, a crash costs none, and a full disk says so."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from started_processes import started_process

from dicom_node.audit.audit_file import LONGEST_TEXT, AuditError, AuditFile
from dicom_node.audit.chained_lines import read_chain


def test_lines_are_numbered_and_chained(tmp_path: Path) -> None:
    file = AuditFile(tmp_path)

    heads = [file.append({"act": "retry"}) for _ in range(3)]

    chain = read_chain(file.lines())
    assert (chain.faults, [one["number"] for one in chain.entries]) == ([], [1, 2, 3])
    assert file.head() == heads[-1]
    assert (heads[-1].number, heads[-1].digest) == (3, chain.digests[-1])


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    AuditFile(tmp_path).append({"act": "retry"})

    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_half_a_line_that_a_crash_has_left_is_replaced_and_told(tmp_path: Path) -> None:
    file = AuditFile(tmp_path)
    file.append({"act": "retry"})
    with file.path.open("ab") as stream:
        stream.write(b'{"digest":"12')

    file.append({"act": "cancel"})

    chain = read_chain(file.lines())
    assert chain.faults == []
    assert chain.entries[1] == {"act": "cancel", "number": 2, "torn_bytes": 13}


def test_line_after_an_altered_one_does_not_hide_it(tmp_path: Path) -> None:
    file = AuditFile(tmp_path)
    for _ in range(2):
        file.append({"act": "retry"})
    file.path.write_bytes(file.path.read_bytes().replace(b"retry", b"RETRY"))

    head = file.append({"act": "cancel"})

    assert head.number == 3
    assert [fault.line for fault in read_chain(file.lines()).faults] == [1, 2]


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from dicom_node.audit.audit_file import AuditFile\n"
        "for n in range(20): AuditFile(pathlib.Path(sys.argv[1])).append({'act': 'retry'})\n"
    )
    with ExitStack() as processes:
        started = [
            processes.enter_context(started_process([sys.executable, "-c", program, tmp_path]))
            for _ in range(3)
        ]
        assert [one.wait(60) for one in started] == [0, 0, 0]

    chain = read_chain(AuditFile(tmp_path).lines())
    assert (chain.faults, len(chain.entries)) == ([], 60)


def test_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(AuditError, match="nothing was done"):
        AuditFile(tmp_path).append({"act": "retry"})

    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_long_text_is_cut_so_that_the_end_can_always_be_read(tmp_path: Path) -> None:
    file = AuditFile(tmp_path)
    file.append({"act": "retry", "detail": "x" * 10_000_000})

    assert len(read_chain(file.lines()).entries[0]["detail"]) == LONGEST_TEXT
    assert file.append({"act": "retry"}).number == 2
