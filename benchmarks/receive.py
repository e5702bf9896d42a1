"""C-STORE reception: the node's listener beside dcmtk's storescp, side by side in one run."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pydicom
import typer
from _report import Report, Row, machine, show
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from deploy.demo.children import Children, answers, free_ports

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "deploy/demo/studies/film/LMLO.dcm"
CASES = {"small": (40, ["-xt"]), "large": (12, [])}
"""Objects a round, and how storescu proposes their transfer syntax."""


@dataclass(frozen=True)
class Receiver:
    """One receiver that runs on loopback, and the folder below which it keeps objects."""

    name: str
    port: int
    folder: Path


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of interleaved rounds.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Measure MB/s with one and with four associations, for JPEG-LS and uncompressed images.

    Example: python benchmarks/receive.py --rounds 5 --json receive.json
    """
    programs = [dcmtk_program(name) for name in ("storescu", "storescp")]
    if None in programs:
        typer.echo("dcmtk's storescu and storescp are needed: apt-get install dcmtk", err=True)
        raise typer.Exit(1)
    storescu, storescp = (str(program) for program in programs)
    conditions = {**machine(), "rounds": rounds, "sender": "storescu, TCP_NODELAY=1"}
    with tempfile.TemporaryDirectory() as scratch, Children(Path(scratch)) as children:
        files = {case: make_files(Path(scratch) / case, case) for case in CASES}
        receivers = start_receivers(children, Path(scratch), storescp)
        speeds = measure(storescu, receivers, files, rounds)
        children.check()
    report = Report(benchmark="receive", rows=rows_of(speeds, receivers), conditions=conditions)
    show([report])
    if json is not None:
        report.write(json)


def dcmtk_program(name: str) -> str | None:
    """Find dcmtk's program: pynetdicom and others install namesakes."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = Path(folder) / name
        if program.is_file():
            version = subprocess.run([program, "--version"], capture_output=True, check=False)
            if b"dcmtk" in version.stdout:
                return str(program)
    return None


def make_files(folder: Path, case: str) -> list[Path]:
    """Write the objects of one case, each with a SOP Instance UID of its own."""
    folder.mkdir()
    dataset = pydicom.dcmread(SOURCE)
    if case == "large":
        # A full-field image, uncompressed: 17 MB.
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns = 3328, 2560
        pixels = np.random.default_rng(1).integers(0, 4096, (3328, 2560), dtype=np.uint16)
        dataset.PixelData = pixels.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset["PixelData"].is_undefined_length = False
    paths = []
    for number in range(CASES[case][0]):
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[case, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(folder / f"{number:03d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def start_receivers(children: Children, scratch: Path, storescp: str) -> list[Receiver]:
    """Start the listener and its anchors; ours comes first."""
    quick = {**os.environ, "TCP_NODELAY": "1"}
    plain = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    names = ("listener", "storescp, tuned", "storescp, defaults")
    receivers = [
        Receiver(name, port, scratch / f"received-{number}" / "incoming")
        for number, (name, port) in enumerate(zip(names, free_ports(3), strict=True))
    ]
    for receiver in receivers:
        receiver.folder.mkdir(parents=True)
    ours, best, default = receivers
    listener = [sys.executable, str(Path(__file__).with_name("_listener.py"))]
    children.start("listener", [*listener, str(ours.port), str(ours.folder.parent)], plain)
    command = [storescp, "--fork", "+xa", "-od"]
    children.start("best", [*command, str(best.folder), "-pdu", "131072", str(best.port)], quick)
    children.start("default", [*command, str(default.folder), str(default.port)], plain)
    for receiver in receivers:
        children.wait_until(
            partial(answers, receiver.port),
            what=f"{receiver.name} answers",
            deadline_seconds=20,
        )
    return receivers


def measure(
    storescu: str, receivers: list[Receiver], files: dict[str, list[Path]], rounds: int
) -> dict[tuple[str, int, str], list[float]]:
    """Return MB/s by case, number of associations and receiver, a value a round."""
    speeds: dict[tuple[str, int, str], list[float]] = {}
    for _ in range(rounds):
        for case, paths in files.items():
            for associations in (1, 4):
                for receiver in receivers:
                    seconds = send(storescu, receiver, case, paths, associations)
                    size = sum(path.stat().st_size for path in paths)
                    key = (case, associations, receiver.name)
                    speeds.setdefault(key, []).append(size / seconds / 1e6)
    return speeds


def send(
    storescu: str, receiver: Receiver, case: str, paths: list[Path], associations: int
) -> float:
    """Send all files over some associations at once; returns the seconds it took."""
    command = [storescu, *CASES[case][1], "-aec", "MAMMOCLIP", "127.0.0.1", str(receiver.port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    begun = time.perf_counter()
    with ExitStack() as stack:
        senders = [
            stack.enter_context(
                subprocess.Popen([*command, *paths[number::associations]], env=environment)
            )
            for number in range(associations)
        ]
        statuses = [sender.wait() for sender in senders]
    seconds = time.perf_counter() - begun
    kept = [path for path in receiver.folder.rglob("*") if path.is_file()]
    if any(statuses) or len(kept) != len(paths):
        raise SystemExit(f"{receiver.name} kept {len(kept)} of {len(paths)} objects")
    for path in kept:
        path.unlink()
    return seconds


def rows_of(
    speeds: dict[tuple[str, int, str], list[float]], receivers: list[Receiver]
) -> list[Row]:
    """Hold the listener's medians against the anchors'."""
    rows = []
    ours, *anchors = (receiver.name for receiver in receivers)
    for case, associations in dict.fromkeys((key[0], key[1]) for key in speeds):
        mine = speeds[case, associations, ours]
        for anchor in anchors:
            theirs = speeds[case, associations, anchor]
            rows.append(
                Row(
                    measure=f"{case}, {associations} association{'s' * (associations > 1)}",
                    unit="MB/s",
                    ours=statistics.median(mine),
                    against=anchor,
                    theirs=statistics.median(theirs),
                    ratio=statistics.median(m / t for m, t in zip(mine, theirs, strict=True)),
                )
            )
    return rows


if __name__ == "__main__":
    typer.run(main)
