"""Commands about the model, tables and files, given to a node elsewhere."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from console_factory import Served
from node_factory import STUDY_UID, four_views, mammogram
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from dicom_node.audit_trail import deeds_of
from dicom_node.commands.node import app
from dicom_node.sign_in.roles import Role
from dicom_node.spool.names import incoming_receipts
from dicom_node.studies.ledger.monitoring.tables import ReferenceReset

RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"

Command = Callable[..., Result]


def commands_to(node: Served, role: Role) -> Command:
    token = {"MAMMOCLIP_TOKEN": node.tokens[role]}
    return lambda *arguments: CliRunner().invoke(
        app, ["--node", node.url, *map(str, arguments)], env=token
    )


def write_files(images: list[Dataset], folder: Path) -> None:
    for number, image in enumerate(images):
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dcmwrite(folder / f"{number}.dcm", image, enforce_file_format=True)


@pytest.fixture
def here(watched: Served, tmp_path: Path) -> Command:
    """Return what gives a command on the machine of the node."""
    config = tmp_path / "mammoclip.toml"
    config.write_text(f'spool = "{watched.settings.spool}"\n')
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments), "--config", config])


@pytest.mark.parametrize(
    "arguments",
    [
        ("drift", "--days", 60),
        ("drift", "--days", 60, "--json"),
        ("thresholds",),
        ("thresholds", "--json"),
        ("audit", "show", "--limit", 2),
        ("audit", "show", "--json", STUDY_UID),
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_what_is_printed_is_what_the_node_prints(
    watched: Served, here: Command, arguments: tuple[str, ...]
) -> None:
    there, locally = commands_to(watched, Role.ADMIN)(*arguments), here(*arguments)

    assert (there.exit_code, locally.exit_code) == (0, 0), there.output
    shown = [one.stdout for one in (there, locally)]
    if "drift" in arguments:  # which begins at the second of each
        begin = '"equipment"' if "--json" in arguments else "\n"
        shown = [one.partition(begin)[2] for one in shown]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("command", ["scores", "export", "assessments"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_table_is_the_one_that_the_node_writes(
    watched: Served, here: Command, tmp_path: Path, command: str, suffix: str
) -> None:
    since = [] if command == "assessments" else ["--since", "2020-01-01"]
    there, locally = tmp_path / f"there{suffix}", tmp_path / f"here{suffix}"

    done = commands_to(watched, Role.VIEWER)(command, "--out", there, *since)

    assert done.exit_code == 0, done.output
    assert here(command, "--out", locally, *since).exit_code == 0
    assert there.read_bytes() == locally.read_bytes()
    least = {"scores": 1, "export": 200, "assessments": 0}[command]
    assert len(there.read_bytes().splitlines()) >= least
    if command == "export":
        assert f"200 answers in {there}" in done.stdout
        assert commands_to(watched, Role.VIEWER)(command, "--out", there).exit_code == 1


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_report_of_a_node_elsewhere_is_for_its_administrator(
    watched: Served, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"report{suffix}"
    truth = tmp_path / "truth.csv"
    truth.write_text("study_instance_uid,truth\n1.2.3,1\n")
    wanted = ("report", "--out", out, "--since", "2026-01-01", "--truth", truth)

    refused = commands_to(watched, Role.OPERATOR)(*wanted)
    done = commands_to(watched, Role.ADMIN)(*wanted)

    assert "needs the role admin" in refused.stderr
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"%PDF-" if suffix == ".pdf" else b"<!")


def test_new_reference_counts_there_with_the_token_that_asked(watched: Served) -> None:
    command = commands_to(watched, Role.OPERATOR)
    assert command("drift", "--new-reference", "Maker Model Z").exit_code == 1, "no reason"

    done = command("drift", "--new-reference", "Maker Model Z", "--reason", "new software")

    assert "what comes from now on" in done.stdout, done.output
    with watched.database.reading() as session:
        (row,) = session.query(ReferenceReset).filter_by(scanner="Maker Model Z")
    assert (row.reason, row.decided_by) == ("new software", "token operator program")


def test_audit_of_a_node_elsewhere_is_checked_by_receipts_kept_here(
    served: Served, tmp_path: Path
) -> None:
    command = commands_to(served, Role.ADMIN)
    kept = tmp_path / "receipt.jsonl"
    assert command("receipt", STUDY_UID, "--out", kept).exit_code == 0

    done = command("audit", "verify", "--receipt", kept)

    assert done.exit_code == 0, done.output
    assert "none altered, none missing" in done.stdout
    assert "needs the role admin" in commands_to(served, Role.OPERATOR)("audit", "verify").stderr


def test_truths_are_kept_there_and_bad_lines_are_told(served: Served, tmp_path: Path) -> None:
    table = tmp_path / "truths.csv"
    table.write_text(f"study_instance_uid,truth\n{STUDY_UID},positive\n1.2.404,negative\n")
    command = commands_to(served, Role.OPERATOR)

    done = command("assessments", table, "--out", tmp_path / "all.jsonl")

    assert done.exit_code == 1
    assert "1 kept, 0 known before, 1 not used" in done.stdout, done.output
    assert "line 3: no study of the ledger has it" in done.stderr
    rows = map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())
    # Other tests may have brought assessments to the same node.
    assert (STUDY_UID, "positive") in [(row["study"], row["decision"]) for row in rows]


def test_files_are_submitted_to_a_node_elsewhere(served: Served, tmp_path: Path) -> None:
    write_files(four_views(StudyInstanceUID=f"{STUDY_UID}.9"), tmp_path)
    (tmp_path / "other").mkdir()
    write_files([mammogram(SOPClassUID=RT_PLAN)], tmp_path / "other")
    before = len(list(incoming_receipts(served.spool.root)))

    done = commands_to(served, Role.OPERATOR)("submit", tmp_path, "--priority", "stat", "--json")

    found = json.loads(done.stdout)
    (study,) = found["studies"]
    assert (study["study_instance_uid"], study["files"]) == (f"{STUDY_UID}.9", 4), done.output
    assert (done.exit_code, len(found["refused"])) == (1, 1)
    assert len(list(incoming_receipts(served.spool.root))) >= before + 4
    assert [one["act"] for one in deeds_of(served.settings)][-1] == "send"


def test_rules_of_a_node_elsewhere_are_tried_on_files_here(served: Served, tmp_path: Path) -> None:
    write_files(four_views(), tmp_path)
    command = commands_to(served, Role.VIEWER)

    done = command("test-rule", tmp_path, "--sender", "ROOM1", "--at", "2026-03-31T22:15")

    assert done.exit_code == 0, done.output
    assert f"study {STUDY_UID}: 4 images to analyse, sent by ROOM1" in done.stdout
    assert command("test-rule", tmp_path, "--at", "tomorrow").exit_code == 1


def test_table_that_is_cut_off_is_not_there(
    watched: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.commands.remote.node_elsewhere._LONGEST_LINE", 10)
    monkeypatch.setattr("dicom_node.commands.remote.node_elsewhere._PIECE_BYTES", 16)
    out = tmp_path / "scores.csv"

    done = commands_to(watched, Role.VIEWER)("scores", "--out", out, "--since", "2020-01-01")

    assert done.exit_code == 1
    assert "gives no answer of a node" in done.stderr
    assert not out.exists()


def test_export_is_a_table(watched: Served, tmp_path: Path) -> None:
    out = tmp_path / "export.csv"
    commands_to(watched, Role.VIEWER)("export", "--out", out, "--since", "2020-01-01")

    with out.open(newline="") as stream:
        assert len({row["case"] for row in csv.DictReader(stream)}) == 200
