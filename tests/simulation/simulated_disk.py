"""The disk of the simulated host: each change of names and each flush is a step; power may fail.

The files are real ones, on a file system in memory. What a power cut leaves follows the rules of
``power_cuts``.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from power_cuts import Recording, recording
from schedule import Schedule

_FOLDERS = ("partial", "incoming", "associations", "associations/known", "studies", "set-aside",
            "results")  # fmt: skip


_PROCESS = f"incoming-{os.getpid()}-"


class SimulatedDisk:
    """The folder of one spool."""

    def __init__(self, root: Path, record: Recording) -> None:
        self.root = root
        self._record = record
        self._schedule: Schedule | None = None

    def begin(self, schedule: Schedule | None, kept: dict[str, bytes]) -> None:
        """Begin a schedule with a spool that holds these files only."""
        self._schedule = None
        self._write(kept)
        self._schedule = schedule

    def cut_power(self) -> None:
        """Leave of all files what a cut leaves; all processes of the host must be gone."""
        schedule, self._schedule = self._schedule, None
        assert schedule is not None
        self._write(self._record.cut(schedule.random))
        self._schedule = schedule

    def files(self, folder: str) -> list[Path]:
        """List the files in a folder, at any depth."""
        return sorted(path for path in (self.root / folder).rglob("*") if path.is_file())

    def content(self) -> dict[str, bytes]:
        """Return all files by their path in the spool."""
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in self.root.rglob("*")
            if file.is_file()
        }

    def step(self, what: str, path: Any) -> None:
        """Stop before something is asked of the disk."""
        if self._schedule is None or self._schedule.current is None:
            return
        if isinstance(path, int):
            self._schedule.step(what)
            return
        name = os.fsdecode(path)
        # The places of associations are locked while they are looked at: nobody may stop there.
        if name.startswith(str(self.root)) and "/associations" not in name:
            place = name[len(str(self.root)) + 1 :]
            # The real number of this process is no part of the schedule.
            self._schedule.step(f"{what} {place.replace(_PROCESS, 'incoming-')}")

    def _write(self, content: dict[str, bytes]) -> None:
        for entry in self.root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for folder in _FOLDERS:
            (self.root / folder).mkdir(mode=0o700)
        for name, written in content.items():
            file = self.root / name
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_bytes(written)
            file.chmod(0o600)
        self._record.begin_with(content)


@contextmanager
def simulated_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedDisk]:
    """Make a folder a simulated disk until the block ends."""
    root.mkdir(mode=0o700, exist_ok=True)
    for folder in _FOLDERS:
        (root / folder).mkdir(mode=0o700, exist_ok=True)
    with recording(root, monkeypatch) as record, monkeypatch.context() as patch:
        disk = SimulatedDisk(root, record)

        def stopping(name: str) -> Any:
            asked = getattr(os, name)

            def call(path: Any, *arguments: Any, **options: Any) -> Any:
                disk.step(name, path)
                return asked(path, *arguments, **options)

            return call

        for name in ("rename", "unlink", "mkdir", "rmdir", "fsync", "link"):
            patch.setattr(os, name, stopping(name))
        create = os.open

        def open_file(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & os.O_CREAT:
                disk.step("create", path)
            return create(path, flags, *arguments, **options)

        patch.setattr(os, "open", open_file)
        yield disk
