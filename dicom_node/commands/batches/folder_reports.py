"""What the commands for files on a disk report, as documents and as tables."""

from collections.abc import Iterable, Iterator
from typing import Any

import typer
from rich.table import Table

from dicom_node.commands.tables import new_table
from dicom_node.commands.terminal import print_table
from dicom_node.receive.files.folder_files import PassedOver
from dicom_node.receive.files.inspection import Inspection
from dicom_node.receive.files.submission import Submission


def inspection_document(found: Inspection) -> dict[str, Any]:
    """Return an inspection as JSON."""
    return {
        "can_be_analysed": found.is_whole,
        "studies": [
            {
                "study_instance_uid": study.study_instance_uid,
                "can_be_analysed": study.answer,
                "reason": study.reason,
                "missing_views": list(study.missing_views),
                "files": [
                    {
                        "file": _text(file.file),
                        "sop_instance_uid": file.sop_instance_uid,
                        "view": file.view,
                        "fate": file.fate,
                        "reason": file.reason,
                    }
                    for file in study.files
                ],
            }
            for study in found.studies
        ],
        "passed_over": _listed(found.passed_over),
    }


def inspection_tables(found: Inspection) -> Iterator[Table]:
    """Show the studies, then their files, then what is passed over."""
    table = new_table("Studies", "Study Instance UID", "analysis", "because", "no image of")
    for study in found.studies:
        name = study.study_instance_uid or "(none)"
        missing = ", ".join(study.missing_views)
        table.add_row(_shown(name), study.answer, _shown(study.reason), missing)
    yield table
    table = new_table("Images and other objects", "file", "view", "", "reason")
    for study in found.studies:
        for file in study.files:
            table.add_row(_shown(file.file), _shown(file.view), file.fate, _shown(file.reason))
    yield table
    if found.passed_over:
        yield _passed_over_table("Passed over", found.passed_over)


def submission_document(done: Submission) -> dict[str, Any]:
    """Return a submission as JSON."""
    return {
        "whole": done.is_whole,
        "stopped": done.stopped,
        "left": done.left,
        "studies": [
            {
                "study_instance_uid": one.study_instance_uid,
                "files": one.files,
                "bytes": one.size_bytes,
            }
            for one in done.studies
        ],
        "refused": _listed(done.refused),
        "passed_over": _listed(done.passed_over),
    }


def submission_tables(done: Submission) -> Iterator[Table]:
    """Show what was submitted of each study, then what was not."""
    table = new_table("Submitted", "Study Instance UID", "files", "bytes")
    for one in done.studies:
        table.add_row(
            _shown(one.study_instance_uid or "(none)"), str(one.files), str(one.size_bytes)
        )
    yield table
    if done.refused:
        yield _passed_over_table("Refused", done.refused)
    if done.passed_over:
        yield _passed_over_table("Passed over", done.passed_over)


def print_submission(done: Submission) -> None:
    """Print the tables, and what to do if it has stopped."""
    for table in submission_tables(done):
        print_table(table)
    if done.stopped:
        typer.echo(
            f"mammoclip-node: stopped before {done.left} files: {done.stopped}. Free room on the "
            "disk of the node, then run the command again: what is submitted already does no harm.",
            err=True,
        )


def _passed_over_table(title: str, files: Iterable[PassedOver]) -> Table:
    table = new_table(title, "file", "reason")
    for one in files:
        table.add_row(_shown(str(one.path)), _shown(one.reason))
    return table


def _listed(files: Iterable[PassedOver]) -> list[dict[str, Any]]:
    return [
        {"file": _text(str(one.path)), "reason": one.reason, "amiss": one.is_amiss} for one in files
    ]


def _text(name: str) -> str:
    """Return a file's name as text, whatever bytes it has."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _shown(text: str) -> str:
    """Return text in which a terminal finds nothing to obey."""
    return "".join(char if char.isprintable() else "?" for char in _text(text))
