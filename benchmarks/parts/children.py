"""The child processes of a benchmark: each computes in one way, on request."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


class Child:
    """One process that computes for each line it is sent."""

    def __init__(self, process: subprocess.Popen[str], way: str) -> None:
        self._process = process
        self.way = way

    def run(self, count: int, out: Path) -> dict[str, Any]:
        """Let it compute some images, and return what it tells of that."""
        return self.ask(f"{count} {out}")

    def ask(self, line: str) -> dict[str, Any]:
        """Send it a line, and return what it tells."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.way} could not be run: its reason stands above")
        result: dict[str, Any] = json.loads(line)
        return result


@contextmanager
def children(
    ways: Sequence[str], bundle: Path, images: Path, device: str, threads: int
) -> Iterator[list[Child]]:
    """Start a child of ``forward.py`` for each way; they end with the block."""
    words = [str(bundle), str(images), device, str(threads)]
    with started_children("forward.py", {way: [way, *words] for way in ways}, threads) as started:
        yield started


@contextmanager
def started_children(
    script: str, arguments: Mapping[str, Sequence[str]], threads: int
) -> Iterator[list[Child]]:
    """Start a child of a script of this folder for each way, with its arguments.

    Each has said that it is ready; they end with the block.
    """
    environment = environment_of(threads)
    with ExitStack() as stack:
        started = []
        for way, words in arguments.items():
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(_HERE / script), *words],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
            stack.callback(process.terminate)
            started.append(Child(process, way))
        for child in started:
            child.answer()
        yield started


def environment_of(threads: int) -> dict[str, str]:
    """Return the environment of a process that computes on so many threads."""
    # The packages first: a benchmark has the name of one of them.
    own = [str(_HERE.parents[1]), str(_HERE.parent)]
    path = os.pathsep.join(filter(None, [*own, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
