"""What people do is entered before it is done, and a file that was altered or cut is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from node_factory import STUDY_UID, Reception, mammogram
from sqlalchemy import delete
from typer.testing import CliRunner

from dicom_node.audit.acts import Act
from dicom_node.audit.audit_file import AuditFile
from dicom_node.audit_trail import audited
from dicom_node.commands.node import app
from dicom_node.errors import NodeError
from dicom_node.settings.settings import Settings
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.monitoring.tables import AuditAnchor
from dicom_node.studies.own_spool import own_spool

Command = Callable[..., Result]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def command(reception: Reception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return the command line of a site whose audit file has four lines."""
    own_spool(reception.spool, reception.database)
    installation_key(reception.spool, reception.database)
    reception.receive(mammogram())
    url = reception.database.engine.url.render_as_string(hide_password=False)
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "{reception.spool.root}"\n[ledger]\nurl = "{url}"\n')
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    settings = Settings(spool=reception.spool.root)
    for act in (Act.PAUSE, Act.RESUME):
        with audited(
            settings, reception.database, act, who="anna", via="console", studies=[STUDY_UID]
        ) as account:
            account.detail = "node"
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def file(command: Command, reception: Reception) -> Path:
    return AuditFile(reception.spool.root).path


def test_each_act_is_entered_before_it_and_after_it(command: Command) -> None:
    lines = command("audit", "show", STUDY_UID).stdout.splitlines()

    assert [line.split("  ")[1:4] for line in lines] == [
        ["anna", "pause", "begun"],
        ["anna", "pause", "done"],
        ["anna", "resume", "begun"],
        ["anna", "resume", "done"],
    ]


def test_act_that_fails_is_entered_with_its_reason(command: Command, reception: Reception) -> None:
    settings = Settings(spool=reception.spool.root)
    with (
        pytest.raises(NodeError),
        audited(settings, reception.database, Act.RETRY, who="anna", via="command"),
    ):
        raise NodeError("nothing to retry")

    last = command("audit", "show").stdout.splitlines()[-1]
    assert "retry  refused" in last
    assert "nothing to retry" in last


def test_untouched_file_is_verified_and_its_verification_entered(command: Command) -> None:
    first, second = command("audit", "verify"), command("audit", "verify")

    assert (first.exit_code, first.stdout) == (0, "ok    4 lines, none altered, none missing\n")
    assert (second.exit_code, second.stdout) == (0, "ok    6 lines, none altered, none missing\n")


def test_one_altered_byte_is_named_with_its_line(command: Command, file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"resume", b"resumE", 1))

    done = command("audit", "verify")

    assert done.exit_code == 1
    assert done.stdout.startswith("FAIL  line 3: it is not as it was written")


def test_lines_cut_off_at_the_end_are_named_for_good(command: Command, file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]))

    first, second = command("audit", "verify"), command("audit", "verify")

    assert "line 3: the end is cut off: line 4 is remembered" in first.stdout
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert "line 3: it is another one than is remembered" in second.stdout


def test_receipt_kept_elsewhere_tells_of_an_end_that_the_ledger_forgot(
    command: Command, file: Path, reception: Reception, tmp_path: Path
) -> None:
    kept = tmp_path / "receipt.jsonl"
    assert command("receipt", STUDY_UID, "--out", kept).exit_code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]))
    with reception.database.writing() as session:
        session.execute(delete(AuditAnchor).where(AuditAnchor.number > 2))

    without = command("audit", "verify")
    done = command("audit", "verify", "--receipt", kept)
    wrong = command("audit", "verify", "--receipt", file)

    assert without.exit_code == 0
    assert (done.exit_code, "FAIL  line 5: " in done.stdout) == (1, True), done.output
    assert (wrong.exit_code, "is no receipt" in wrong.output) == (1, True)


def test_file_that_was_deleted_is_named(command: Command, file: Path) -> None:
    file.unlink()

    done = command("audit", "verify")

    assert (done.exit_code, "and the file has 0" in done.stdout) == (1, True)


def test_file_that_somebody_chained_anew_is_named(
    command: Command, file: Path, reception: Reception
) -> None:
    file.unlink()
    for _ in range(9):
        AuditFile(reception.spool.root).append({"act": "nothing", "who": "nobody"})

    done = command("audit", "verify")

    assert (done.exit_code, "line 1: it is another one" in done.stdout) == (1, True)


def test_nothing_is_done_that_cannot_be_entered(
    command: Command, file: Path, reception: Reception
) -> None:
    file.unlink()
    file.mkdir()
    done = []
    with (
        pytest.raises(NodeError, match="nothing was done"),
        audited(
            Settings(spool=reception.spool.root),
            reception.database,
            Act.ERASE,
            who="anna",
            via="command",
        ),
    ):
        done.append("erased")
    assert done == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry", STUDY_UID),
        ("retry", "--all", "--reason", "licence"),
        ("cancel", STUDY_UID),
        ("priority", STUDY_UID, "stat"),
        ("pause", "node"),
        ("resume", "node"),
        ("erase", STUDY_UID, "--yes"),
        ("move-deliveries", "old", "new", "--reason", "why"),
        ("drop-deliveries", "old", "--reason", "why"),
        ("back-up", "{folder}"),
        ("receipt", STUDY_UID),
        ("drain", "--reason", "moved"),
        ("users", "remove", "nobody"),
        ("tokens", "add", "ris"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_command_that_does_something_is_entered(
    command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    before = len(command("audit", "show").stdout.splitlines())

    command(*(one.format(folder=tmp_path / "copy") for one in arguments))

    added = command("audit", "show").stdout.splitlines()[before:]
    acts = {line.split("  ")[2] for line in added}
    assert acts == {arguments[0]}
    assert len(added) == 2, "one before and one after"
