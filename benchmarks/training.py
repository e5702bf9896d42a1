"""Training: a step in every way beside plain eager float32; loading and preparing pictures."""

import json as json_format
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from parts.children import Child, started_children
from parts.loading import loading_rows
from parts.report import Report, Row, machine, show
from parts.ways import HALF, PLAIN, Way, ways_of

# The package of this name is meant, not the benchmark beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
SAMPLES = Path(__file__).resolve().parents[1] / "deploy/demo/studies/film"


@dataclass(slots=True)
class Figures:
    """What is known of one way."""

    pairs: int
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    first_loss: float = float("nan")
    out_of_memory: bool = False


def main(
    *,
    encoder: Annotated[str, typer.Option(help="b0 to b5; default b2, on a GPU b5.")] = "",
    rows: Annotated[int, typer.Option(help="Height; default 760, on a GPU 1520.")] = 0,
    columns: Annotated[int, typer.Option(help="Width; default 456, on a GPU 912.")] = 0,
    pairs: Annotated[int, typer.Option(help="Breasts in a batch: two images, two texts.")] = 4,
    large: Annotated[
        int, typer.Option(help="Breasts of a large batch in chunks; default none, on a GPU 64.")
    ] = -1,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 5,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: every core.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    pictures: Annotated[int, typer.Option(min=0, help="Pictures to prepare; 0: none.")] = 48,
    quick: Annotated[
        bool, typer.Option(help="A small input and one round: tries the benchmark, no machine.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Measure pairs a second and memory of a step, and pictures a second loaded and prepared.

    Example: python benchmarks/training.py --rounds 5 --json training.json
    """
    from training.examples.demonstration.vocabulary import write_trained_tokenizer

    conditions = machine()
    is_gpu = device != "cpu"
    threads = threads or len(os.sched_getaffinity(0))
    encoder = encoder or ("b5" if is_gpu else "b2")
    size = (rows or (1520 if is_gpu else 760), columns or (912 if is_gpu else 456))
    large = large if large >= 0 else (64 if is_gpu else 0)
    if quick:
        encoder, size, pairs, rounds, pictures = "b0", (95, 57), 2, 1, min(pictures, 4)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = Path(scratch) / "tokenizer"
        write_trained_tokenizer(tokenizer, attention_heads=2, hidden_size=128)
        common = {
            "architecture": f"tf_efficientnet_{encoder}",
            "is_small_text": not is_gpu,
            "tokenizer": str(tokenizer),
            "rows": size[0],
            "columns": size[1],
            "device": device,
            "threads": threads,
        }
        ways = ways_of(common, pairs, large)
        if quick:  # the first, the fastest and the smallest
            ways = {name: ways[name] for name in (PLAIN, HALF, list(ways)[-1])}
        arguments = {name: [json_format.dumps(asdict(way))] for name, way in ways.items()}
        if is_gpu:  # one after the other: their memory would not fit side by side
            figures: dict[str, Figures] = {}
            for name, way in ways.items():
                with started_children("step.py", {name: arguments[name]}, threads) as started:
                    figures |= measure(started, {name: way}, rounds)
        else:
            with started_children("step.py", arguments, threads) as started:
                figures = measure(started, ways, rounds)
        result = step_rows(figures)
        result += loading_rows(Path(scratch), rounds, size if quick else (1520, 912))
        if pictures:
            result += preparation_rows(Path(scratch), pictures, 1 if quick else 3, size, quick)
    from inference import versions

    conditions |= {
        "load_after": round(os.getloadavg()[0], 2),
        "device": device_name(device),
        "threads": threads,
        "rounds": rounds,
        "encoder": encoder,
        "text encoder": "BERT-base" if is_gpu else "BERT of 2 layers of 128",
        "input": f"{size[0]} x {size[1]}",
        "weights": "random",
        "versions": versions(),
        "measured_on": time.strftime("%Y-%m-%d"),
    }
    report = Report(benchmark="training", rows=result, conditions=conditions)
    show([report], DETAILS)
    if json is not None:
        report.write(json)


def measure(started: Sequence[Child], ways: Mapping[str, Way], rounds: int) -> dict[str, Figures]:
    """Let every way make a step in turn, round by round; the first round only warms up."""
    figures = {name: Figures(pairs=way.pairs) for name, way in ways.items()}
    for number in range(rounds + 1):
        for child in started:
            mine = figures[child.way]
            if mine.out_of_memory:
                continue
            told = child.ask("step")
            mine.peak_bytes = told["peak_bytes"]
            if "out_of_memory" in told:
                mine.out_of_memory = True
            elif number == 0:
                mine.first_loss = told["loss"]
            else:
                mine.seconds.append(told["seconds"])
    return figures


def step_rows(figures: Mapping[str, Figures]) -> list[Row]:
    """Hold every way against the first, which is plain."""
    anchor = figures[PLAIN]
    rows = []
    for name, mine in figures.items():
        details: dict[str, Any] = {"way": name, "peak_bytes": mine.peak_bytes}
        if anchor.peak_bytes:
            details["memory_share"] = mine.peak_bytes / anchor.peak_bytes
        if not mine.seconds:
            rows.append(
                Row(measure=f"{name}: out of memory", unit="pairs/s", ours=0.0, details=details)
            )
            continue
        details |= {
            "seconds_min": min(mine.seconds),
            "seconds_median": statistics.median(mine.seconds),
            "first_loss": mine.first_loss,
        }
        is_held = name != PLAIN and bool(anchor.seconds)
        rates = [mine.pairs / seconds for seconds in mine.seconds]
        anchor_rates = [anchor.pairs / seconds for seconds in anchor.seconds]
        rows.append(
            Row(
                measure=f"step: {name}",
                unit="pairs/s",
                ours=statistics.median(rates),
                against=PLAIN if is_held else "",
                theirs=statistics.median(anchor_rates) if is_held else None,
                ratio=statistics.median(m / a for m, a in zip(rates, anchor_rates, strict=True))
                if is_held
                else None,
                details=details,
            )
        )
    return rows


def preparation_rows(
    scratch: Path, pictures: int, rounds: int, size: tuple[int, int], quick: bool
) -> list[Row]:
    """Prepare DICOM files by two processes and by one, in turn."""
    from parts.preparing import make_source, pictures_a_second

    size = size if quick else (1520, 912)
    source = scratch / "source"
    table = make_source(source, sorted(SAMPLES.glob("*.dcm")), pictures)
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds + 1):  # the first round only warms up
        for processes, measured in speeds.items():
            speed = pictures_a_second(source, table, scratch, processes, size)
            if number:
                measured.append(speed)
    return [
        Row(
            measure=f"prepare: DICOM to {size[0]} x {size[1]} PNG, 2 processes",
            unit="pictures/s",
            ours=statistics.median(speeds[2]),
            against="1 process",
            theirs=statistics.median(speeds[1]),
            ratio=statistics.median(
                two / one for two, one in zip(speeds[2], speeds[1], strict=True)
            ),
            details={"ratio_of_maxima": max(speeds[2]) / max(speeds[1])},
        )
    ]


def device_name(device: str) -> str:
    """Return what computes, by its maker's name where it has one."""
    if device == "cpu":
        return device
    import torch

    return str(torch.cuda.get_device_name())


DETAILS = {
    "seconds_min": ("s, min", "{:.3f}".format),
    "seconds_median": ("s, median", "{:.3f}".format),
    "peak_bytes": ("peak GB", lambda value: f"{value / 1e9:.2f}"),
    "memory_share": ("of plain", "{:.0%}".format),
    "first_loss": ("first loss", "{:.4f}".format),
    "ratio_of_maxima": ("of maxima", "{:.2f}".format),
}
"""Columns beside those of every benchmark: heading and form."""


if __name__ == "__main__":
    typer.run(main)
