"""A receipt says what became of a study, and one altered byte or a missing end is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from node_factory import (
    PATIENT_WORDS,
    STUDY_UID,
    Reception,
    analysis_row,
    finished,
    made_result,
    mammogram,
)
from sqlalchemy import select
from typer.testing import CliRunner

from dicom_node.commands.node import app
from dicom_node.receipts.receipt import verify_receipt
from dicom_node.studies.ledger.tables import Study

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def command(
    reception: Reception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Return the command line of a site that has analysed and delivered a study."""
    from dicom_node.studies.installation_key import installation_key
    from dicom_node.studies.own_spool import own_spool

    own_spool(reception.spool, reception.database)
    installation_key(reception.spool, reception.database)
    reception.receive(mammogram())
    with reception.database.writing() as session:
        study = session.scalars(select(Study)).one()
        study.revision = 1
        analysis = analysis_row(session, study)
        finished(session, analysis, made_result(sha256="ab" * 32))
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "{reception.spool.root}"\n[ledger]\nurl = "{url}"\n')
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def receipt(command: Callable[..., Result], tmp_path: Path) -> bytes:
    file = tmp_path / "receipt.jsonl"
    done = command("receipt", STUDY_UID, "--out", file)
    assert done.exit_code == 0, done.output
    return file.read_bytes()


def entries(receipt: bytes) -> list[dict[str, Any]]:
    return [json.loads(line)["entry"] for line in receipt.splitlines()]


def test_receipt_says_what_came_what_was_made_and_where_it_went(receipt: bytes) -> None:
    head, received, analysed, made, delivered, signature = entries(receipt)

    assert (head["kind"], head["study"]) == ("receipt", STUDY_UID)
    assert (head["audit_line"], len(head["audit_digest"])) == (1, 64)
    assert (received["from"], len(received["sha256"])) == ("SCANNER", 64)
    assert (analysed["bundle"], analysed["state"]) == ("stand-in 1 00", "done")
    assert (made["type"], made["sha256"]) == ("measurement_report", "ab" * 32)
    assert (delivered["destination"], delivered["state"]) == ("archive", "due")
    assert signature["algorithm"] == "Ed25519"


def test_receipt_names_no_patient(receipt: bytes) -> None:
    assert not any(word.encode() in receipt for word in PATIENT_WORDS)


def test_receipt_is_verified_without_a_node(
    receipt: bytes, command: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = command("receipt-key").stdout.strip()
    monkeypatch.delenv("MAMMOCLIP_CONFIG")
    monkeypatch.chdir(tmp_path / "spool")

    done = command("verify-receipt", tmp_path / "receipt.jsonl", "--key", key)

    assert (done.exit_code, STUDY_UID in done.stdout) == (0, True), done.output
    other = command("verify-receipt", tmp_path / "receipt.jsonl", "--key", "00" * 32)
    assert (other.exit_code, "signed by another key" in other.output) == (1, True)


def test_every_altered_byte_of_a_receipt_is_named_by_its_line(receipt: bytes) -> None:
    for place in range(0, len(receipt), 7):
        altered = bytearray(receipt)
        altered[place] ^= 0x01

        faults = verify_receipt(bytes(altered)).faults

        assert faults, f"byte {place} was altered and nobody says so"
        assert faults[0].line == receipt[:place].count(b"\n") + 1


def test_missing_end_of_a_receipt_is_named_wherever_it_was_cut(receipt: bytes) -> None:
    for end in range(0, len(receipt), 11):
        assert verify_receipt(receipt[:end]).faults, f"cut at {end} and nobody says so"
    lines = receipt.splitlines(keepends=True)
    (fault,) = verify_receipt(b"".join(lines[:-1])).faults
    assert "the end is cut off" in fault.words


def test_receipt_that_somebody_else_made_anew_has_another_key(
    receipt: bytes, command: Callable[..., Result]
) -> None:
    assert verify_receipt(receipt).key == command("receipt-key").stdout.strip()


def test_study_that_is_not_there_has_no_receipt(command: Callable[..., Result]) -> None:
    done = command("receipt", "1.2.3")

    assert (done.exit_code, "not in the ledger" in done.output) == (1, True)
