"""A node elsewhere whose disk is full says so, and what to do, to whoever brings it files."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result
from console_factory import Served, serving
from node_factory import Reception, four_views, mammogram
from services import missing
from test_tables_from_elsewhere import commands_to, write_files

from dicom_node.sign_in.roles import Role

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=24m,mode=700", "none", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        missing("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def node(disk: Path, migrated_ledger: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Return a node that has everything on that disk, what is uploaded too."""
    monkeypatch.setenv("TMPDIR", str(disk))

    def fill(reception: Reception) -> None:
        reception.receive(mammogram())

    with serving(disk, migrated_ledger, fill) as served:
        yield served


def fill(disk: Path) -> None:
    """Leave no byte."""
    with (disk / "filler").open("ab", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    stream.write(bytes(size))


def submitted(node: Served, folder: Path) -> Result:
    return commands_to(node, Role.OPERATOR)("submit", folder, "--json")


@pytest.mark.parametrize("megabytes", [0, 3], ids=["small files", "files kept while they come"])
def test_full_disk_is_told_once_with_what_to_do_and_nothing_is_lost(
    node: Served, disk: Path, tmp_path: Path, megabytes: int
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    images = four_views(StudyInstanceUID="1.2.826.0.1.3680043.8.498.9")
    for image in images:
        image.add_new(0x00091001, "OB", bytes(megabytes << 20))
    write_files(images, files)
    fill(disk)

    stopped = submitted(node, files)

    assert stopped.exit_code == 1
    assert json.loads(stopped.stdout)["left"] == 4, stopped.output
    assert json.loads(stopped.stdout)["refused"] == []
    assert "full" in json.loads(stopped.stdout)["stopped"]
    assert "free room" in json.loads(stopped.stdout)["stopped"]
    (disk / "filler").unlink()
    done = submitted(node, files)
    assert (done.exit_code, json.loads(done.stdout)["stopped"]) == (0, ""), done.output
