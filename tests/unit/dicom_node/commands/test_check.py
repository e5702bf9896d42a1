"""What is tried before a node goes to work: mammoclip-node check, and the gate of serve."""

import os
from itertools import islice
from pathlib import Path

import pytest
from certificates import Authority
from licensed_bundle import WORDS, write_bundle
from ports import free_port
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import Verification
from typer.testing import CliRunner

from dicom_node.commands.checks.check import _check_destination, run_checks
from dicom_node.commands.node import app
from dicom_node.errors import DestinationDownError
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.destinations import DicomDestination

CHECKED = """
spool = "spool"
[receive]
minimum_free_bytes = 1
[model]
bundle = "bundle"
accept = "{words}"
[broker]
url = "redis://:s3cret@127.0.0.1:{port}/0"
[ledger]
url = "{ledger}"
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {port}
timeout_seconds = 2
[[destinations]]
name = "web"
kind = "dicomweb"
url = "http://127.0.0.1:{port}"
username = "node"
password = "s3cret"
"""


@pytest.fixture
def checked(tmp_path: Path) -> dict[str, str]:
    """Return the lines of a check of a site on which nothing runs, by what was checked."""
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "mammoclip.toml"
    ledger = "postgresql+nodriver://node:s3cret@127.0.0.1/node"
    file.write_text(CHECKED.format(words=WORDS, port=free_port(), ledger=ledger))

    result = CliRunner().invoke(app, ["check", "--config", str(file)])

    assert result.exit_code == 2
    assert "s3cret" not in result.stdout + result.stderr
    assert not (tmp_path / "spool").exists()
    return {line[6:].split(":")[0].split(" ")[0]: line[:4] for line in result.stdout.splitlines()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bundles_and_rules_are_checked_one_by_one(tmp_path: Path) -> None:
    settings = Settings(
        spool=tmp_path / "spool",
        bundles={"gone": {"folder": tmp_path / "gone"}},
        rules=[{"name": "van", "when": "sendr == 'VAN1'", "bundle": "gone"}],
    )

    lines = {one.name: one.detail for one in islice(run_checks(settings), 4)}

    assert not lines["bundle and its terms"] or "accept" in lines["bundle and its terms"]
    assert "gone" in lines["bundle gone and its terms"]
    assert "rules[1] van: when, column 1: nothing is called sendr" in lines["rules"]


def test_check_tells_every_problem_and_changes_nothing(checked: dict[str, str]) -> None:
    assert checked == {
        "settings": "ok  ",
        "bundle": "ok  ",
        "spool": "ok  ",
        "ledger": "FAIL",
        "certificates": "ok  ",
        "broker": "FAIL",
        "destination": "FAIL",
        "account": "ok  ",
        "node": "FAIL",
    }


def test_serve_refuses_a_bundle_whose_terms_are_not_accepted(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "mammoclip.toml"
    file.write_text('[model]\nbundle = "bundle"')

    result = CliRunner().invoke(app, ["serve", "--config", str(file)])

    assert result.exit_code == 1
    assert f'set accept = "{WORDS}" under [model]' in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_spool_that_this_user_cannot_write_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "mammoclip.toml"
    file.write_text(CHECKED.format(words=WORDS, port=free_port(), ledger="sqlite:///ledger"))
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)

    result = CliRunner().invoke(app, ["check", "--config", str(file)])

    (line,) = [line for line in result.stdout.splitlines() if "spool" in line]
    assert line.startswith("FAIL")
    assert "cannot be written by this user" in line


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_spool_that_other_users_can_enter_is_a_problem(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "mammoclip.toml"
    file.write_text(CHECKED.format(words=WORDS, port=free_port(), ledger="sqlite:///ledger"))
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o755)

    result = CliRunner().invoke(app, ["check", "--config", str(file)])

    (line,) = [line for line in result.stdout.splitlines() if line[6:].startswith("spool")]
    assert line.startswith("FAIL")
    assert "chmod 700" in line
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o755


def test_check_names_the_class_that_the_archive_does_not_accept() -> None:
    port = free_port()
    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(Verification)
    entity.add_supported_context("1.2.840.10008.5.1.4.1.1.7", ImplicitVRLittleEndian)
    server = entity.start_server(("127.0.0.1", port), block=False)
    archive = DicomDestination(name="a", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    try:
        with pytest.raises(DestinationDownError, match="Segmentation Storage") as caught:
            _check_destination(Settings(), archive)
    finally:
        server.shutdown()
    assert "Secondary Capture" not in str(caught.value)


def certificates_line(folder: Path, tls: str, receive: str = "") -> str:
    """Return what `check` says of the certificates."""
    write_bundle(folder / "bundle")
    file = folder / "mammoclip.toml"
    text = CHECKED.format(words=WORDS, port=free_port(), ledger="sqlite:///ledger")
    file.write_text(text.replace("[receive]\n", f"[receive]\n{receive}") + f"[tls]\n{tls}")
    result = CliRunner().invoke(app, ["check", "--config", str(file)])
    (line,) = [line for line in result.stdout.splitlines() if line[6:].startswith("certificates")]
    return line


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_key_that_others_can_read_is_a_problem(tmp_path: Path) -> None:
    own = Authority(tmp_path / "authority").issue("node")
    own.key.chmod(0o640)

    line = certificates_line(tmp_path, f'certificate = "{own.file}"\nprivate_key = "{own.key}"')

    assert line.startswith("FAIL")
    assert f"chmod 600 {own.key}" in line


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("present", "word"), [(True, "ok  "), (False, "FAIL")])
def test_certificates_of_the_listener_are_read(tmp_path: Path, present: bool, word: str) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.issue("node")
    own.key.chmod(0o600)
    file = own.file if present else tmp_path / "absent.crt"
    tls = f'certificate = "{file}"\nprivate_key = "{own.key}"\n'
    tls += f'certificate_authorities = "{authority.file}"'

    assert certificates_line(tmp_path, tls, "tls = true\n").startswith(word)
