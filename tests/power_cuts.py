"""A disk that can lose its power: records what a process asks of it, and what a cut can leave.

What a power cut leaves of a journalling file system: a change of names that a flush of its folder
has reached, or no flush at all (in any combination, but a rename is whole or absent); the content
of a file as it was last flushed, and nothing of one that never was.
"""

import os
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

Content = dict[str, bytes]
"""The files of a folder by their path in it."""

_MOST_UNFLUSHED = 6


@dataclass(frozen=True)
class Change:
    """A change of names: a new file or folder, a rename, or a removal."""

    verb: str
    source: str
    target: str = ""

    def touches(self, folder: str) -> bool:
        return folder in {_folder_of(path) for path in (self.source, self.target) if path}


@dataclass(frozen=True)
class FolderFlush:
    folder: str


@dataclass(frozen=True)
class FileFlush:
    """A file was flushed under the name that it had at that moment."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Answer:
    """Somebody was told that an object is safe."""

    content: bytes


@dataclass
class Recording:
    """What was asked of the disk under one folder, in order."""

    root: Path
    folders: frozenset[str]
    steps: list[Any] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.RLock)

    def answered(self, content: bytes) -> None:
        with self._lock:
            self.steps.append(Answer(content))

    def cuts(self) -> Iterator[tuple[list[bytes], list[Content]]]:
        """Yield what was answered before a cut after each step, and all that may be left then."""
        for end in range(len(self.steps) + 1):
            steps = self.steps[:end]
            yield (
                [one.content for one in steps if isinstance(one, Answer)],
                list(_left(steps, self.folders)),
            )

    def cut(self, choose: random.Random) -> Content:
        """Return one of all that a cut may leave now."""
        safe, open_ones = _safe_and_open(self.steps)
        kept = {one for one in open_ones if choose.random() < 0.5}
        return _after(self.steps, safe | kept, self.folders)

    def begin_with(self, content: Content) -> None:
        """Forget what was recorded: these files were there, flushed, and nothing else."""
        folders = {str(one) for name in content for one in PurePosixPath(name).parents}
        self.steps = [Change("folder", one) for one in sorted(folders - {"."})]
        for name, written in content.items():
            self.steps += [Change("create", name), FileFlush(name, written)]
        self.steps += [FolderFlush(one) for one in sorted({_folder_of(n) for n in content})]
        self.steps += [FolderFlush(_folder_of(one)) for one in sorted(folders - {"."})]

    def add(self, step: Any) -> None:
        self.steps.append(step)

    def name(self, path: Any) -> str | None:
        """Return a path within the folder; None for one outside."""
        # By their letters: a simulation asks this for every file that it opens.
        absolute, root = os.fsdecode(path), str(self.root)
        if not absolute.startswith("/"):
            absolute = str(Path(absolute).absolute())
        if absolute == root:
            return "."
        return absolute[len(root) + 1 :] if absolute.startswith(f"{root}/") else None


_recordings: list[Recording] = []


def _on_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _recordings:
        return
    path, _mode, flags = arguments
    if isinstance(flags, int) and flags & os.O_CREAT and isinstance(path, str | bytes | Path):
        record = _recordings[0]
        name = record.name(path)
        if name is not None and not os.path.lexists(path):
            with record._lock:
                record.add(Change("create", name))


sys.addaudithook(_on_open)  # an audit hook stays for good: without a recording it does nothing


@contextmanager
def recording(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, without: str = ""
) -> Iterator[Recording]:
    """Record what this process asks of the disk under a folder.

    Parameters
    ----------
    without : ``folder`` or ``file``
        Flushes to leave out, as a process would that does not ask for them.
    """
    root = root.resolve()
    before = [path for path in root.rglob("*") if path.is_dir()]
    record = Recording(root, frozenset(str(one.relative_to(root)) for one in before))
    originals = {
        name: getattr(os, name)
        for name in ("rename", "replace", "unlink", "mkdir", "fsync", "link")
    }

    def changing(verb: str, function: str) -> Any:
        def call(*paths: Any, **options: Any) -> Any:
            with record._lock:
                names = [record.name(path) for path in paths if not isinstance(path, int)]
                done = originals[function](*paths, **options)
                if all(names):
                    record.add(Change(verb, *names))
                return done

        return call

    def fsync(descriptor: int) -> None:
        with record._lock:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            name = record.name(path)
            if name is None:
                originals["fsync"](descriptor)
            elif path.is_dir():
                if without != "folder":
                    record.add(FolderFlush("" if name == "." else name))
            elif without != "file":
                record.add(FileFlush(name, path.read_bytes()))

    with monkeypatch.context() as patch:
        for verb, function in (
            ("rename", "rename"),
            ("rename", "replace"),
            ("remove", "unlink"),
            ("folder", "mkdir"),
            ("link", "link"),
        ):
            patch.setattr(os, function, changing(verb, function))
        patch.setattr(os, "fsync", fsync)
        _recordings.append(record)
        try:
            yield record
        finally:
            _recordings.clear()


def _left(steps: list[Any], folders: frozenset[str]) -> Iterator[Content]:
    """Yield everything that a power cut after some steps may leave."""
    safe, open_ones = _safe_and_open(steps)
    # Of files that nobody looks for any more many changes stay unflushed: the last ones matter.
    open_ones = open_ones[-_MOST_UNFLUSHED:]
    for size in range(len(open_ones) + 1):
        for kept in combinations(open_ones, size):
            yield _after(steps, safe | set(kept), folders)


def _safe_and_open(steps: list[Any]) -> tuple[set[int], list[int]]:
    """Return the numbers of the changes of names that every cut leaves, and of all others."""
    names = [step for step in steps if isinstance(step, Change)]
    safe: set[int] = set()
    at = -1
    for step in steps:
        if isinstance(step, Change):
            at += 1
        elif isinstance(step, FolderFlush):
            reached = {n for n in range(at + 1) if names[n].touches(step.folder)}
            # What a rename moves was made before: the journal keeps the order of one file.
            moved = {names[n].source for n in reached}
            safe |= reached | {
                n for n in range(at + 1) if names[n].verb != "remove" and names[n].source in moved
            }
    return safe, [n for n in range(len(names)) if n not in safe]


def _after(steps: list[Any], kept: set[int], before: frozenset[str]) -> Content:
    """Return the files after the changes of names that were kept, and after all file flushes."""
    live, left = _Names(), _Names(folders=set(before))
    content: dict[int, bytes] = {}
    at = -1
    for step in steps:
        if isinstance(step, FileFlush):
            content[live.files[step.name]] = step.content
        if isinstance(step, Change):
            at += 1
            live.apply(step, at)
            if at in kept:
                left.apply(step, at)
    return {
        name: content.get(file, b"")
        for name, file in left.files.items()
        if left.is_reachable(_folder_of(name))
    }


@dataclass
class _Names:
    """The folders, and the files by name: each file is known by the change that made it."""

    files: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def apply(self, change: Change, number: int) -> None:
        if change.verb == "folder":
            self.folders.add(change.source)
        elif change.verb == "create":
            self.files[change.source] = number
        elif change.source in self.files:
            file = self.files[change.source]
            if change.verb != "link":
                del self.files[change.source]
            if change.target:
                self.files[change.target] = file

    def is_reachable(self, folder: str) -> bool:
        parents = [folder, *map(str, PurePosixPath(folder).parents)] if folder else []
        return all(one in self.folders for one in parents if one != ".")


def _folder_of(name: str) -> str:
    return name.rpartition("/")[0]
