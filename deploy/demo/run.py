"""``make demo``: send studies through the whole system on this machine, and show what came back."""

import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.archive import orthanc_program
from deploy.broker import NoBrokerError
from deploy.demo.display import (
    findings_table,
    make_console,
    objects_table,
    warning_panel,
    write_pictures,
)
from deploy.demo.errors import DemonstrationError
from deploy.demo.exchange import fetch_results, send_study
from deploy.demo.ledger import UNDER_WAY
from deploy.demo.mammograms import StudyToSend, find_studies
from deploy.demo.outcome import Outcome, outcome_of, shortcomings
from deploy.demo.system import RunningSystem, running_system
from deploy.demo.workplace import workplace
from dicom_node.spool.files.private_files import keep_new_files_private
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.manifest import read_manifest

_ROOT: Final = Path(__file__).resolve().parents[2]
_SAMPLES: Final = Path(__file__).parent / "studies"
_PATIENCE_SECONDS: Final = 300.0
_ASK_SECONDS: Final = 2.0


def main(
    study: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder with your own DICOM files, subfolders included.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for logs and pictures.")] = _ROOT / ".demo",
) -> None:
    """Run the demonstration; exit status 0 only if every study came back complete.

    Example: python -m deploy.demo.run --study ~/mammograms
    """
    keep_new_files_private()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # A user's files are taken as they are; what the node thinks of them is in its own log.
    warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
    console = make_console()
    with workplace(out.absolute()) as folder, _explained(console, folder):
        _say(console, f"Logs and settings of this run: {folder}")
        samples = [_SAMPLES / "film", _SAMPLES / "phantom"]
        outcomes, problems = demonstrate(console, folder, samples if study is None else [study])
        problems += _show(console, outcomes, out.absolute() / "pictures")
        if problems:
            raise DemonstrationError("\n".join(problems))
    console.print("Every study came back complete.", style="bold green")


def demonstrate(
    console: Console, folder: Path, sources: Sequence[Path]
) -> tuple[list[Outcome], list[str]]:
    """Send the studies of some folders through a system of their own.

    Returns
    -------
    list of Outcome, list of str
        What came back of each study that the node has; and what it did not take.

    Raises
    ------
    DemonstrationError
        There is nothing to send, a process died, or a study makes no progress.
    """
    studies, skipped = find_studies(sources)
    for reason, count in sorted(skipped.items()):
        _say(console, f"Not sent: {count} files ({reason})")
    if not studies:
        raise DemonstrationError(f"no mammogram found in {', '.join(map(str, sources))}")
    archive = "Orthanc" if orthanc_program() else "the small archive"
    _say(console, f"Starting broker, archive ({archive}), node and worker on loopback ...")
    with running_system(folder) as system:
        console.print(warning_panel(_warning()))
        taken, problems = _send(console, system, studies)
        _await_results(console, system, taken)
        for line in system.ledger.set_aside():
            _say(console, f"Set aside by the node: {line}")
        return [_outcome(system, study) for study in taken], problems


def _send(
    console: Console, system: RunningSystem, studies: Sequence[StudyToSend]
) -> tuple[list[StudyToSend], list[str]]:
    """Send everything; returns the studies of which the node has something, and the refusals."""
    taken: list[StudyToSend] = []
    refusals: list[str] = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for study in studies:
            bar = progress.add_task(f"C-STORE {study.label}", total=len(study.instances))
            problems = []
            for instance, problem in send_study(study, system.node_port):
                progress.advance(bar)
                if problem:
                    problems.append(f"{instance.path} {problem}")
            refusals += problems
            if len(problems) < len(study.instances):
                taken.append(study)
    return taken, refusals


def _await_results(console: Console, system: RunningSystem, studies: Sequence[StudyToSend]) -> None:
    """Wait until no study will change by itself any more, printing the state of each."""
    seen: dict[str, str] = {}
    changed_at = time.monotonic()
    while True:
        system.children.check()
        conditions = system.ledger.conditions()
        now = {
            study.label: conditions.get(study.study_instance_uid, ("receiving", ""))[0]
            for study in studies
        }
        for label, condition in now.items():
            if seen.get(label) != condition:
                _say(console, f"  {label}: {condition}")
        if not UNDER_WAY.intersection(now.values()):
            return
        if now != seen:
            seen, changed_at = now, time.monotonic()
        if time.monotonic() - changed_at > _PATIENCE_SECONDS:
            stuck = ", ".join(f"{label} is {word}" for label, word in now.items())
            raise DemonstrationError(f"no progress for {_PATIENCE_SECONDS:.0f} s: {stuck}")
        time.sleep(_ASK_SECONDS)


def _outcome(system: RunningSystem, study: StudyToSend) -> Outcome:
    details = system.ledger.details(study.study_instance_uid)
    # Some archives answer with a failure when they are asked for a study that they do not have.
    objects = (
        fetch_results(study.study_instance_uid, system.archive_port) if details["results"] else []
    )
    return outcome_of(study.label, details, objects)


def _show(console: Console, outcomes: list[Outcome], folder: Path) -> list[str]:
    """Print what came back and write the pictures; returns what is wrong with it."""
    console.print(objects_table(outcomes))
    console.print(findings_table(outcomes, _warning()))
    for outcome in outcomes:
        for reason in outcome.not_analysed:
            _say(console, f"Not analysed in {outcome.label}: {reason}")
    _say(console, "Pictures with the model's heatmap in color:")
    for outcome in outcomes:
        for path in write_pictures(outcome, folder / outcome.label):
            _say(console, f"  {path}")
    return [f"{outcome.label}: {line}" for outcome in outcomes for line in shortcomings(outcome)]


def _warning() -> str:
    """Return the warning of the demonstration bundle."""
    return read_manifest(demonstration_bundle()).warning


def _say(console: Console, text: str) -> None:
    """Print lines that are not broken where the terminal ends: paths among them are copied."""
    console.print(text, soft_wrap=True)


@contextmanager
def _explained(console: Console, folder: Path) -> Iterator[None]:
    """Print why a run failed and where its logs are, with a traceback only for a bug."""
    try:
        yield
    except (DemonstrationError, NoBrokerError) as error:
        console.print("The demonstration failed.", style="bold red")
        _say(console, f"{error}\nLogs: {folder}/*.log")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _say(console, "Stopped.")
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
