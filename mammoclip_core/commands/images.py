"""The command of mammoclip-predict for thousands of studies: one table of all of them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from mammoclip_core.commands.options import BundleOption, EngineOption, PrecisionOption
from mammoclip_core.commands.terminal import accept_terms, one_line_errors, opened
from mammoclip_core.counting import counted
from mammoclip_core.engines.computing_options import ComputingOptions, EngineName, Precision

_SECONDS_BETWEEN_LINES: Final = 30.0


def images(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Folders, DICOM files or pictures, lists of such (.txt, one a line)."),
    ],
    *,
    out: Annotated[
        Path, typer.Option(help="Table to write: .parquet, .csv or .jsonl. Must be new.")
    ],
    bundle: BundleOption = None,
    accept: Annotated[
        str | None,
        typer.Option(
            envvar="MAMMOCLIP_ACCEPT",
            help="Licence phrase, exactly as `info` prints it; a wrong one is refused."
            " Default: the terms are printed.",
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=0, help="Processes that compute, shared among the devices; 0: one a device."
        ),
    ] = 0,
    device: Annotated[
        str,
        typer.Option(
            help="Devices, by commas: cpu, cuda, cuda:N, or auto (a GPU if there is one)."
        ),
    ] = "auto",
    engine: EngineOption = EngineName.AUTO,
    precision: PrecisionOption = Precision.EXACT,
    tomosynthesis: Annotated[
        Literal["refuse", "middle", "max"],
        typer.Option(help="Frames used from a multi-frame image, as by `image`."),
    ] = "refuse",
    generated_2d: Annotated[
        Literal["if-alone", "prefer", "both"],
        typer.Option(help="Use of a 2D image computed from a tomosynthesis, as by `image`."),
    ] = "if-alone",
) -> None:
    """Analyse any number of studies, and write one table with a row for each answer.

    Files that cannot be read are rows of the table with their reason. A run that was killed goes
    on where it was by the same command; what it has done is kept in OUT.unfinished meanwhile.

    Example: mammoclip-predict images archive/ --out results.parquet --processes 2

    Exit status: 0 if the table is written, 1 if no image in it has an answer or something is wrong,
    2 for wrong usage.
    """
    with one_line_errors():
        from mammoclip_core.images.selection import Generated2D
        from mammoclip_core.images.tomosynthesis import Tomosynthesis
        from mammoclip_core.many_studies.engine_process import EngineOrder
        from mammoclip_core.many_studies.run import Progress, analyze_many

        folder, manifest = opened(bundle)
        accept_terms(manifest, accept)
        devices = [name.strip() for name in device.split(",")]
        processes = processes or len(devices)
        # A library takes all cores by itself: several processes share them.
        threads = max(1, (os.cpu_count() or 1) // processes) if processes > 1 else 0
        orders = [
            EngineOrder(
                bundle=folder.absolute(),
                device=devices[number % len(devices)],
                engine=engine,
                options=ComputingOptions(precision=precision, threads=threads),
                tomosynthesis=Tomosynthesis(tomosynthesis),
                generated_2d=Generated2D(generated_2d),
            )
            for number in range(processes)
        ]
        lines = ProgressLines(lambda text: typer.echo(text, err=True))
        progress = Progress(on_file=lines.files, on_begin=lines.begin, on_study=lines.studies)
        summary = analyze_many(paths, out, orders, progress)
        typer.echo(
            f"{out}: {counted(summary.studies, 'study', 'studies')} "
            f"({summary.resumed_at} of them by an earlier run), {summary.failed} of "
            f"{counted(summary.answered + summary.failed, 'image')} failed, "
            f"{counted(summary.unused, 'file')} passed over",
            err=True,
        )
    if not summary.answered:
        raise typer.Exit(1)


class ProgressLines:
    """Says from time to time how far a run is, and how long the rest will take.

    Parameters
    ----------
    say : prints a line
    now : seconds of a clock that never goes back
    """

    def __init__(
        self, say: Callable[[str], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._now = now
        self._total = self._done = self._before = 0
        self._began = self._said = now()

    def files(self, count: int) -> None:
        """Tell how many files were looked at."""
        if self._is_time():
            self._say(f"looking for studies: {count} files so far")

    def begin(self, total: int, done: int) -> None:
        """Tell how many studies there are, and how many of them were done before."""
        self._total, self._done, self._before = total, done, done
        self._began = self._said = self._now()
        self._say(
            counted(total, "study", "studies") + (f", {done} of them done before" if done else "")
        )

    def studies(self, more: int) -> None:
        """Count studies that are done."""
        self._done += more
        if self._done > self._before and self._is_time():
            seconds = max(self._now() - self._began, 1e-9)
            rate = (self._done - self._before) / seconds
            left = (self._total - self._done) / rate
            self._say(
                f"{self._done} of {self._total} studies, {rate:.2g} a second,"
                f" about {left / 60:.0f} minutes left"
            )

    def _is_time(self) -> bool:
        if self._now() - self._said < _SECONDS_BETWEEN_LINES:
            return False
        self._said = self._now()
        return True
