"""Nobody but the node's account can read its files, whatever umask it was started with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_factory import four_views
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from sending import send
from services import wait_for

from dicom_node.node_parts import warn_of_open_settings
from dicom_node.node_process import running_node
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.private_files import is_open_to_others, of_other_accounts, tighten
from dicom_node.spool.identity_key import identity_key
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database


@pytest.fixture
def careless_umask() -> Iterator[None]:
    """Let every user read and write what this process creates."""
    former = os.umask(0)
    yield
    os.umask(former)


def open_paths(folder: Path) -> list[str]:
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if is_open_to_others(path)]


def settings_of(folder: Path) -> Settings:
    return Settings(
        spool=folder / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


@pytest.mark.usefixtures("careless_umask")
def test_files_of_a_running_node_are_its_own(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    datasets = four_views()
    for dataset in datasets:
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian

    with running_node(settings):
        send(datasets, settings.receive.port)
        wait_for(
            lambda: len(list((settings.spool / "studies").rglob("*.dcm"))) == 4,
            seconds=60,
            what="the images are registered",
        )
        names = {path.name for path in settings.spool.iterdir()}
        assert {"ledger.sqlite", "ledger.sqlite-wal", "identity.key", "node.lock"} <= names
        assert open_paths(settings.spool) == []


@pytest.mark.usefixtures("careless_umask")
def test_half_written_file_and_result_are_its_own(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    seen = []

    def chunks() -> Iterator[bytes]:
        yield b"first"
        seen.extend(open_paths(spool.root))
        yield b"second"

    spool.keep(chunks(), spool.receipts.new("a" * 16))
    spool.keep_result(b"report", 7, 2, "report")

    assert seen == []
    assert open_paths(spool.root) == []


@pytest.mark.usefixtures("careless_umask")
def test_ledger_outside_of_the_spool_is_its_own(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/elsewhere/ledger.sqlite")

    database.migrate()

    found = open_paths(tmp_path / "elsewhere")
    database.close()
    assert found == []


@pytest.mark.parametrize("command", ["init"])
def test_file_that_init_writes_is_its_users_own(tmp_path: Path, command: str) -> None:
    program = [sys.executable, "-m", "dicom_node.commands.node", command]

    subprocess.run([*program, tmp_path / "mammoclip.toml"], check=True, umask=0)

    assert not is_open_to_others(tmp_path / "mammoclip.toml")


def test_spool_of_an_earlier_release_is_closed_when_a_node_starts(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    spool = Spool(settings.spool)
    spool.keep([b"image"], spool.receipts.new("a" * 16))
    spool.keep_result(b"report", 7, 2, "report")
    identity_key(spool)
    database = Database(settings.ledger_url)
    database.migrate()
    database.close()
    for path in [spool.root, *spool.root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)

    with running_node(settings):
        wait_for(lambda: open_paths(spool.root) == [], seconds=30, what="nothing is open to others")


def test_closing_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    folder.mkdir(mode=0o755)
    for name in ("a", "b"):
        (folder / name).mkdir(mode=0o755)
        (folder / name / "image.dcm").touch(mode=0o644)
    (folder / "a").chmod(0o700)

    assert list(tighten(folder)) == []

    assert not is_open_to_others(folder)
    assert not is_open_to_others(folder / "b" / "image.dcm")


def test_link_in_the_spool_does_not_change_what_it_points_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    outside.chmod(0o644)
    folder = tmp_path / "studies"
    folder.mkdir(mode=0o755)
    (folder / "link").symlink_to(outside)

    assert list(tighten(folder)) == []

    assert outside.stat().st_mode & 0o777 == 0o644


def test_folder_of_another_account_is_found(tmp_path: Path) -> None:
    mine = os.geteuid()

    assert of_other_accounts([tmp_path], frozenset({mine})) == []
    assert of_other_accounts([tmp_path], frozenset({mine + 1})) == [tmp_path]


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False), (0o600, False)])
def test_settings_that_every_user_can_read_are_warned_of(
    tmp_path: Path, log_lines: list[Any], mode: int, warned: bool
) -> None:
    file = tmp_path / "mammoclip.toml"
    file.write_text("")
    file.chmod(mode)

    warn_of_open_settings(load_settings(file))

    assert [line["event"] for line in log_lines] == ["settings_open_to_others"] * warned


def test_worker_keeps_its_new_files_to_itself() -> None:
    code = (
        "import os; os.umask(0); import worker.app; from celery.signals import celeryd_init;"
        "celeryd_init.send(sender='w', instance=None, conf=None, options={});"
        "print(oct(os.umask(0)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0o77"
