"""Commands take accession numbers, and make the accounts of the console."""

from pathlib import Path

import pytest
from node_factory import PATIENT_ID, STUDY_UID, Reception, mammogram
from typer.testing import CliRunner, Result

from dicom_node.commands.node import app
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

ACCESSION = "A-2026-0417"
PASSWORD = "three small words of ours"


@pytest.fixture
def config(tmp_path: Path, migrated_ledger: Path) -> Path:
    spool = Spool(tmp_path / "spool")
    (spool.root / "ledger.sqlite").write_bytes(migrated_ledger.read_bytes())
    file = tmp_path / "mammoclip.toml"
    file.write_text('spool = "spool"\n')
    reception = Reception(spool, Database(f"sqlite:///{spool.root}/ledger.sqlite"))
    for number in range(2):
        uid = f"{STUDY_UID}.{number}" if number else STUDY_UID
        reception.receive(
            mammogram(StudyInstanceUID=uid, AccessionNumber=f"{ACCESSION}{number or ''}")
        )
    return file


def command(config: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)], input=typed)


@pytest.mark.parametrize("name", [STUDY_UID, ACCESSION, ACCESSION.lower()])
@pytest.mark.parametrize("word", ["why", "show"])
def test_study_is_named_by_uid_or_accession_number(config: Path, word: str, name: str) -> None:
    done = command(config, word, name)

    assert done.exit_code == 0, done.output
    assert STUDY_UID in done.output
    assert f"{STUDY_UID}.1" not in done.output.replace(f"{STUDY_UID}.1.", "")


def test_accession_number_of_nobody_is_not_repeated(config: Path) -> None:
    done = command(config, "why", "A-404")

    assert done.exit_code == 1
    assert "accession number" in done.output
    assert "A-404" not in done.output


@pytest.mark.parametrize(
    ("typed", "state", "found"),
    [(PATIENT_ID, "", 2), (f"{ACCESSION}1", "", 1), (PATIENT_ID, "failed", 0), ("quellw", "", 2)],
)
def test_studies_are_found_by_what_is_typed(
    config: Path, typed: str, state: str, found: int
) -> None:
    done = command(config, "studies", "--find", "--json", "--state", state, typed=f"{typed}\n")

    assert done.exit_code == 0, done.output
    assert done.output.count('"condition"') == found


def test_account_is_made_listed_changed_and_removed(config: Path) -> None:
    made = command(config, "users", "add", "ward", "--role", "operator", typed=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.output
    assert command(config, "users", "list").output == "ward  operator\n"

    assert command(config, "users", "role", "ward", "--role", "viewer").exit_code == 0
    assert command(config, "users", "password", "ward", typed=f"{PASSWORD} 2\n").exit_code == 0
    assert command(config, "users", "list").output == "ward  viewer\n"
    assert command(config, "users", "remove", "ward").exit_code == 0

    assert command(config, "users", "list").output == ""


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (("users", "add", "ward"), "short\n"),
        (("users", "add"), f"{PASSWORD}\n"),
        (("users", "list", "ward"), ""),
        (("users", "add", "a b"), f"{PASSWORD}\n"),
        (("users", "remove", "nobody"), ""),
        (("tokens", "remove", "nobody"), ""),
    ],
)
def test_mistake_is_one_line_without_the_password(
    config: Path, words: tuple[str, ...], typed: str
) -> None:
    done = command(config, *words, typed=typed)

    assert done.exit_code == 1
    assert len(done.output.strip().splitlines()) == 1
    assert not typed.strip() or typed.strip() not in done.output


def test_token_is_shown_once(config: Path) -> None:
    secret = command(config, "tokens", "add", "prometheus").output.strip()

    assert secret.startswith("mcn_")
    listed = command(config, "tokens", "list").output
    assert "prometheus  viewer  until" in listed
    assert secret not in listed
