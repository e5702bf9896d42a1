"""C-STORE reception: the node and its listener beside Orthanc and dcmtk's storescp, in one run.

All but storescp flush what they keep to disk before they answer.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import pydicom
import typer
from parts.receivers import OURS, Receiver, peak_memory_mb, start_receivers
from parts.report import Report, Row, machine, show
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from deploy.demo.children import Children

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "deploy/demo/studies/film/LMLO.dcm"
CASES = {"2.6 MB": (40, 1300, 1000), "17 MB": (12, 3328, 2560)}
"""Objects a round, and their rows and columns of 16 bits, by the size of an object."""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Number of interleaved rounds.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Measure MB/s with one and with four associations, for objects of 2.6 MB and of 17 MB.

    Example: python benchmarks/receive.py --rounds 5 --json receive.json
    """
    programs = [dcmtk_program(name) for name in ("storescu", "storescp")]
    if None in programs:
        typer.echo("dcmtk's storescu and storescp are needed: apt-get install dcmtk", err=True)
        raise typer.Exit(1)
    storescu, storescp = (str(program) for program in programs)
    conditions = {**machine(), "rounds": rounds, "sender": "storescu, TCP_NODELAY=1"}
    with tempfile.TemporaryDirectory() as scratch, Children(Path(scratch)) as children:
        receivers = start_receivers(children, Path(scratch), storescp)
        speeds = measure(storescu, receivers, Path(scratch), rounds)
        children.check()
        memory = {one.name: peak_memory_mb(children.pid(one.child)) for one in receivers}
    report = Report(benchmark="receive", rows=rows_of(speeds, memory), conditions=conditions)
    show([report], {"memory": ("peak memory, ours / theirs", _megabytes)})
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


def make_files(folder: Path, case: str, number: int) -> list[Path]:
    """Write the objects of one round as a study of their own, and flush them."""
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(SOURCE)
    count, rows, columns = CASES[case]
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.Rows, dataset.Columns = rows, columns
    pixels = np.random.default_rng(1).integers(0, 4096, (rows, columns), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset["PixelData"].is_undefined_length = False
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", case, str(number)])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", case, str(number)])
    paths = []
    for instance in range(count):
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[case, str(number), str(instance)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(folder / f"{instance:03d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    os.sync()
    return paths


def measure(
    storescu: str, receivers: list[Receiver], scratch: Path, rounds: int
) -> dict[tuple[str, int, str], list[float]]:
    """Return MB/s by case, number of associations and receiver, a value a round."""
    speeds: dict[tuple[str, int, str], list[float]] = {}
    number = 0
    for turn in range(rounds):
        for case in CASES:
            for associations in (1, 4):
                number += 1
                folder = scratch / f"sent-{number}"
                paths = make_files(folder, case, number)
                size = sum(path.stat().st_size for path in paths)
                first = turn % len(receivers)
                # Another one first each time: the first finds the disk quiet.
                for receiver in receivers[first:] + receivers[:first]:
                    seconds = send(storescu, receiver, paths, associations)
                    speeds.setdefault((case, associations, receiver.name), []).append(
                        size / seconds / 1e6
                    )
                shutil.rmtree(folder)
    return speeds


def send(storescu: str, receiver: Receiver, paths: list[Path], associations: int) -> float:
    """Send all files over some associations at once; returns the seconds it took."""
    command = [storescu, "-aec", "MAMMOCLIP", "127.0.0.1", str(receiver.port)]
    environment = {**os.environ, "TCP_NODELAY": "1"}
    before = receiver.kept()
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
    kept = receiver.kept() - before
    if any(statuses) or kept != len(paths):
        raise SystemExit(f"{receiver.name} kept {kept} of {len(paths)} objects")
    return seconds


def rows_of(speeds: dict[tuple[str, int, str], list[float]], memory: dict[str, float]) -> list[Row]:
    """Hold the medians of the node and of its listener against those of the others."""
    rows = []
    anchors = [name for name in memory if name not in OURS]
    for case, associations in dict.fromkeys((key[0], key[1]) for key in speeds):
        for ours in OURS:
            mine = speeds[case, associations, ours]
            for anchor in anchors:
                theirs = speeds[case, associations, anchor]
                rows.append(
                    Row(
                        measure=f"{case}, {associations} association"
                        f"{'s' * (associations > 1)}, {ours}",
                        unit="MB/s",
                        ours=statistics.median(mine),
                        against=anchor,
                        theirs=statistics.median(theirs),
                        ratio=statistics.median(m / t for m, t in zip(mine, theirs, strict=True)),
                        details={"memory": (memory[ours], memory[anchor])},
                    )
                )
    return rows


def _megabytes(pair: tuple[float, float]) -> str:
    ours, theirs = pair
    return f"{ours:.0f} / {theirs:.0f} MB"


if __name__ == "__main__":
    typer.run(main)
