"""Mammo-CLIP's forward pass: every way of computing it beside the authors' arithmetic."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from parts.children import Child, children, environment_of
from parts.networks import Work, bound_seconds, make_bundle, preprocessing_of, work_of
from parts.overlap import measure_overlap
from parts.report import Report, Row, machine, show

from mammoclip_core.images.image_file import prepared_files

SAMPLES = Path(__file__).resolve().parents[1] / "deploy/demo/studies/film"
CPU_WAYS = (
    "official",
    "torch exact",
    "torch bfloat16",
    "openvino exact",
    "openvino bfloat16",
)
COMPILED_ON_CPU = ("torch compiled exact", "torch compiled bfloat16")
GPU_WAYS = (
    "official float16",
    "torch exact",
    "torch bfloat16",
    "torch float16",
    "torch compiled bfloat16",
)
COLD_ROUNDS = 3
CALIBRATION_IMAGES = 4

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(slots=True)
class Figures:
    """What is known of one way at one encoder and batch size."""

    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    answer: Arrays = field(default_factory=dict)


def main(
    *,
    encoders: Annotated[
        str, typer.Option(help="Encoders, b0 to b5, separated by commas.")
    ] = "b2,b5",
    batches: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "",
    rounds: Annotated[int, typer.Option(min=1, help="Number of interleaved rounds.")] = 3,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: all cores.")] = 0,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    images: Annotated[
        Path, typer.Option(exists=True, help="A folder of DICOM images of one study.")
    ] = SAMPLES,
    compiled: Annotated[
        bool, typer.Option(help="On a CPU measure torch.compile too: takes minutes longer.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            help="Small input, one round: checks that the benchmark runs; figures mean nothing."
        ),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Measure seconds, memory, errors and the share of the machine's own ceiling.

    Example: python benchmarks/inference.py --rounds 5 --json inference.json
    """
    conditions = machine()
    threads = threads or len(os.sched_getaffinity(0))
    rows, columns = (380, 228) if quick else (1520, 912)
    names = ["b0"] if quick else encoders.split(",")
    sizes = [int(size) for size in (batches or ("1,8" if device != "cpu" else "1,4")).split(",")]
    ways = list(GPU_WAYS if device != "cpu" else CPU_WAYS)
    if compiled and device == "cpu":
        ways += COMPILED_ON_CPU
    ways = [way for way in ways if not way.startswith("openvino") or openvino_has(way)]
    rounds = 1 if quick else rounds
    preprocessing = preprocessing_of(rows, columns)
    paths = sorted(path for path in images.rglob("*") if path.is_file())
    shown = np.stack(
        [
            item.values
            for item in prepared_files(paths, preprocessing, threads=2, ahead=4)
            if not isinstance(item, Exception)
        ]
    )
    result: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        np.save(Path(scratch) / "images.npy", shown)
        for name in names:
            architecture = f"tf_efficientnet_{name}"
            bundle = Path(scratch) / name
            prompts = make_bundle(bundle, architecture, shown[:CALIBRATION_IMAGES])
            with children(
                ["ceiling", *ways], bundle, Path(scratch) / "images.npy", device, threads
            ) as (ceiling, *started):
                highest, figures = measure(ceiling, started, sizes, rounds, bundle / "answer.npz")
            result += forward_rows(
                figures,
                highest,
                work_of(architecture, rows, columns),
                encoder=name,
                prompts=prompts,
                has_roofline=device != "cpu",
            )
        largest = Path(scratch) / names[-1]
        if device == "cpu":
            engines = list(dict.fromkeys(way.split()[0] for way in ways[1:]))
            times = 1 if quick else COLD_ROUNDS
            result += cold_rows(engines, largest, paths[0], threads=threads, rounds=times)
    result += overlap_rows(paths, preprocessing, 2 if quick else 3)
    conditions |= {
        "load_after": round(os.getloadavg()[0], 2),
        "device": device,
        "threads": threads,
        "rounds": rounds,
        "input": f"{rows} x {columns}",
        "weights": "random",
        "versions": versions(),
        "measured_on": time.strftime("%Y-%m-%d"),
    }
    report = Report(benchmark="inference", rows=result, conditions=conditions)
    show([report], DETAILS)
    if json is not None:
        report.write(json)


def measure(
    ceiling: Child, started: Sequence[Child], sizes: Sequence[int], rounds: int, out: Path
) -> tuple[dict[str, float], dict[tuple[int, str], Figures]]:
    """Run all ways in turn, round by round; returns the highest ceilings and the ways' figures."""
    figures = {(size, child.way): Figures() for size in sizes for child in started}
    highest: dict[str, float] = {}
    for child in started:
        child.run(sizes[0], out)
    for size in sizes:
        for _ in range(rounds):
            for name, value in ceiling.run(0, out).items():
                highest[name] = max(value, highest.get(name, 0.0))
            for child in started:
                note(figures[size, child.way], child, size, out)
    return highest, figures


def note(figures: Figures, child: Child, size: int, out: Path) -> None:
    """Let a child compute once and keep its figures."""
    answer = child.run(size, out)
    figures.seconds.append(answer["seconds"])
    figures.peak_bytes = answer["peak_bytes"]
    with np.load(out) as arrays:
        figures.answer = dict(arrays)


def forward_rows(
    figures: Mapping[tuple[int, str], Figures],
    ceiling: Mapping[str, float],
    work: Sequence[Work],
    *,
    encoder: str,
    prompts: Arrays,
    has_roofline: bool,
) -> list[Row]:
    """Hold every way against the first, which is the authors'."""
    rows = []
    anchor_way = next(iter(figures))[1]
    for (size, way), mine in figures.items():
        anchor = figures[size, anchor_way]
        best = min(mine.seconds) / size
        numbers = "float32" if way.endswith(("official", "exact")) else "bfloat16"
        details = {
            "encoder": encoder,
            "batch": size,
            "way": way,
            "seconds_min": min(mine.seconds),
            "seconds_median": statistics.median(mine.seconds),
            "ratio_of_minima": min(anchor.seconds) / min(mine.seconds),
            "peak_bytes": mine.peak_bytes,
            "score_difference": score_difference(mine.answer, anchor.answer, prompts),
            "feature_error": relative_error(mine.answer["features"], anchor.answer["features"]),
            "ceiling": numbers,
            "ceiling_share": sum(layer.operations for layer in work) / best / ceiling[numbers],
        }
        if has_roofline:
            bound = bound_seconds(
                work, ceiling[numbers], ceiling["bytes"], 4 if numbers == "float32" else 2
            )
            details["roofline_share"] = bound / best
        rows.append(
            Row(
                measure=f"{encoder} batch {size}: {way}",
                unit="images/s",
                ours=size / statistics.median(mine.seconds),
                against="" if way == anchor_way else anchor_way,
                theirs=None if way == anchor_way else size / statistics.median(anchor.seconds),
                ratio=None
                if way == anchor_way
                else statistics.median(
                    a / b for a, b in zip(anchor.seconds, mine.seconds, strict=True)
                ),
                details=details,
            )
        )
    rows += [
        Row(
            measure=f"{encoder}: ceiling, {name}",
            unit="GB/s" if name == "bytes" else "GFLOP/s",
            ours=value / 1e9,
        )
        for name, value in ceiling.items()
    ]
    return rows


def score_difference(mine: Arrays, theirs: Arrays, prompts: Arrays) -> float:
    """Return the largest difference of any finding's score on any image."""
    return max(
        float(np.abs(scores(mine["embeddings"], texts) - scores(theirs["embeddings"], texts)).max())
        for texts in prompts.values()
    )


def scores(embeddings: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the softmax over cosines, as the published evaluation scores prompts."""
    exponentials = np.exp((embeddings @ texts.T).astype(np.float64))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def openvino_has(way: str) -> bool:
    """Tell whether OpenVINO is installed and this processor computes in a way's numbers."""
    if find_spec("openvino") is None:
        return False
    from mammoclip_core.engines.openvino_library import computes_in

    return computes_in("bfloat16" if way.endswith("bfloat16") else "float32")


def relative_error(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the largest relative L2 error of any image's features."""
    errors = np.linalg.norm(mine - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    return float(errors.max())


def cold_rows(
    engines: Sequence[str], bundle: Path, image: Path, *, threads: int, rounds: int
) -> list[Row]:
    """Measure the time from a fresh process to the findings of one file."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    script = Path(__file__).with_name("parts") / "cold_start.py"
    for _ in range(rounds):
        for name in engines:
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, str(script), name, str(bundle), str(image)],
                check=True,
                stdout=subprocess.DEVNULL,
                env=environment_of(threads),
            )
            seconds[name].append(time.perf_counter() - begun)
    return [
        Row(
            measure=f"{bundle.name}: fresh process to the findings of one file, {name}",
            unit="s",
            ours=statistics.median(values),
            details={"seconds_min": min(values), "seconds_median": statistics.median(values)},
        )
        for name, values in seconds.items()
    ]


def overlap_rows(paths: Sequence[Path], preprocessing: Any, rounds: int) -> list[Row]:
    """Hold the engine's stream and a plain loop against the longer of decoding and model."""
    measured = [measure_overlap(paths, preprocessing, 8) for _ in range(rounds)]
    middle = sorted(measured, key=lambda item: item.engine / item.longer)[len(measured) // 2]
    return [
        Row(
            measure=f"8 studies, a model that only waits: {name}",
            unit="s",
            ours=seconds,
            against="the longer of decoding and model alone",
            theirs=middle.longer,
            ratio=seconds / middle.longer,
        )
        for name, seconds in (("engine", middle.engine), ("plain loop", middle.plain_loop))
    ]


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    found = {}
    for name in ("torch", "timm", "openvino", "numpy", "opencv-python-headless", "imagecodecs"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


DETAILS = {
    "seconds_min": ("s, min", "{:.3f}".format),
    "seconds_median": ("s, median", "{:.3f}".format),
    "peak_bytes": ("peak GB", lambda value: f"{value / 1e9:.2f}"),
    "score_difference": ("score diff.", "{:.0e}".format),
    "feature_error": ("feature err.", "{:.0e}".format),
    "ceiling_share": ("of ceiling", "{:.0%}".format),
    "roofline_share": ("of roofline", "{:.0%}".format),
}
"""Columns beside those of every benchmark: heading and form."""


if __name__ == "__main__":
    typer.run(main)
