"""Seconds from the last image of a study to its results in the archive, on this machine."""

import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pydicom
import typer
from _report import Report, Row, machine, show
from pydicom.uid import generate_uid

from deploy.archive import orthanc_program
from deploy.demo.exchange import send_study
from deploy.demo.ledger import UNDER_WAY
from deploy.demo.mammograms import StudyToSend, find_studies
from deploy.demo.system import RunningSystem, running_system

SOURCE = Path(__file__).resolve().parents[1] / "deploy/demo/studies/film"
PATIENCE_SECONDS = 120


def main(
    studies: Annotated[
        int, typer.Option(min=2, help="Number of studies of four images to send.")
    ] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file.")] = None,
) -> None:
    """Send copies of the sample study one after the other, and read the ledger's own times.

    Example: python benchmarks/end_to_end.py --studies 10 --json end_to_end.json
    """
    conditions = {
        **machine(),
        "bundle": "demonstration (EfficientNet-B0, 760 x 456)",
        "grace": "1 s, contained in every figure",
        "archive": "Orthanc" if orthanc_program() else "the small archive",
    }
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(studies):
            copy_study(Path(scratch) / "studies" / f"{number:03d}", number)
        to_send, _ = find_studies([Path(scratch) / "studies"])
        work = Path(scratch) / "work"
        work.mkdir()
        with running_system(work) as system:
            first, *further = [seconds_of(system, study) for study in to_send]
    rows = [
        Row(measure="first study, with loading of the model", unit="s", ours=first),
        Row(
            measure=f"each of {len(further)} further studies, median",
            unit="s",
            ours=statistics.median(further),
        ),
    ]
    report = Report(benchmark="end_to_end", rows=rows, conditions=conditions)
    show([report])
    if json is not None:
        report.write(json)


def copy_study(folder: Path, number: int) -> None:
    """Copy the sample study under UIDs of its own."""
    folder.mkdir(parents=True)
    for path in sorted(SOURCE.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[path.stem, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / path.name, enforce_file_format=True)


def seconds_of(system: RunningSystem, study: StudyToSend) -> float:
    """Send one study and return the seconds from its last image to its delivery."""
    for instance, problem in send_study(study, system.node_port):
        if problem:
            raise SystemExit(f"{instance.path.name} {problem}")
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        system.children.check()
        condition, reason = system.ledger.conditions().get(
            study.study_instance_uid, ("receiving", "")
        )
        if condition == "delivered":
            break
        if condition not in UNDER_WAY or time.monotonic() > give_up_at:
            raise SystemExit(f"a study is {condition}: {reason}")
        time.sleep(1)
    details = system.ledger.details(study.study_instance_uid)
    received = max(instant(row["received_at"]) for row in details["instances"])
    delivered = max(instant(row["finished_at"]) for row in details["deliveries"])
    return (delivered - received).total_seconds()


def instant(text: Any) -> datetime:
    """Read an instant as the ledger's commands print it."""
    return datetime.fromisoformat(str(text))


if __name__ == "__main__":
    typer.run(main)
