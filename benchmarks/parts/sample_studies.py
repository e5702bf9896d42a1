"""Copies of the sample study under UIDs of their own, to be sent one after the other."""

import sys
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

# Beside the installed packages, where the benchmark is started from anywhere.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from deploy.archive import HOST
from deploy.demo.exchange import send_study
from deploy.demo.mammograms import StudyToSend, find_studies

SOURCE = Path(__file__).resolve().parents[2] / "deploy/demo/studies/film"


def sample_studies(folder: Path, count: int) -> list[StudyToSend]:
    """Write so many copies of the sample study, and return them in order."""
    for number in range(count):
        copy_study(folder / f"{number:04d}", number)
    studies, _ = find_studies([folder])
    return studies


def copy_study(folder: Path, number: int) -> None:
    """Copy the sample study under UIDs of its own."""
    folder.mkdir(parents=True)
    for path in sorted(SOURCE.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(number)])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[path.stem, str(number)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / path.name, enforce_file_format=True)


def send(study: StudyToSend, port: int, *, host: str = HOST, attempts: int = 1) -> None:
    """Send one study, as often as said; raises SystemExit unless the node has taken all of it."""
    for attempt in range(1, attempts + 1):
        problems = [
            f"{instance.path.name} {problem}"
            for instance, problem in send_study(study, port, host)
            if problem
        ]
        if not problems:
            return
        if attempt == attempts:
            raise SystemExit(problems[0])
