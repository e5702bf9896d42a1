"""What the commands that look, prove and bring files ask of a node elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import typer

from dicom_node.commands.remote.node_elsewhere import FullNodeError, NodeElsewhere
from dicom_node.commands.terminal import emitted
from dicom_node.errors import NodeError, OutOfResourcesError, RefusedError
from dicom_node.receive.files.file_intake import TakenObject

Values = dict[str, Any]

_MOST_FILES: Final = 500
"""Files of a study that its node tries the rules on: they travel together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeElsewhere:
    """Takes DICOM files into the spool of a node elsewhere, one at a time."""

    node: NodeElsewhere
    priority: str
    ae_title: str

    @property
    def maximum_bytes(self) -> int:
        """Return more than any file has: one that is too large, the node refuses alone."""
        return sys.maxsize

    def take(self, stream: IO[bytes]) -> TakenObject:
        """Send a file; on return it is safe on the node's disk.

        Raises
        ------
        RefusedError
            The node does not take it.
        OutOfResourcesError
            Its disk is full.
        NodeElsewhereError
            The node does not answer, or lets nobody bring anything.
        """
        fields = {"priority": self.priority, "ae_title": self.ae_title}
        try:
            taken = self.node.sent("/api/submit", [("file", stream)], **fields)
        except FullNodeError as error:
            raise OutOfResourcesError(str(error)) from error
        if words := taken.pop("refused", ""):
            raise (OutOfResourcesError if taken.get("out_of_resources") else RefusedError)(words)
        return TakenObject(**taken)


def _submit(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.batches.folder_reports import print_submission, submission_document
    from dicom_node.commands.batches.folders import checked_ae_title
    from dicom_node.receive.files.submission import files_to_submit, submit_files
    from mammoclip_core.commands.progress_bar import counted

    found = files_to_submit(values["paths"])
    intake = IntakeElsewhere(
        node=node,
        priority=values["priority"] or "",
        ae_title=checked_ae_title(values["ae_title"]),
    )
    with counted(found.count, "files") as next_file:
        done = submit_files(found, intake, on_file=next_file)
    document = submission_document(done)
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        print_submission(done)
    if not done.is_whole:
        raise typer.Exit(1)


def _test_rule(node: NodeElsewhere, values: Values) -> None:
    from urllib.parse import urlencode

    given = {key: values[key] for key in ("sender", "called", "address", "at") if values[key]}
    files = list(_files_in(values["paths"]))
    if not files:
        raise NodeError("no DICOM object of a study was found: name files or folders with some")
    if len(files) > _MOST_FILES:
        raise NodeError(f"{len(files)} files are too many to send: name those of one study")
    with ExitStack() as opened:
        streams = [("files", opened.enter_context(file.open("rb"))) for file in files]
        found = node.sent(f"/api/rules/test?{urlencode(given)}", streams)
    document = {"studies": found["studies"], "passed_over": []}
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        _say(found["lines"])
    if found["held"]:
        raise typer.Exit(1)


def _check(node: NodeElsewhere, values: Values) -> None:
    wanted = {key: values[key] for key in ("before_start", "oldest_minutes")}
    found = node.post("/api/check", **wanted)
    _say(found["lines"])
    if found["level"]:
        raise typer.Exit(int(found["level"]))


def _audit_show(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.prove.entries import print_entries

    found = node.get("/api/audit/entries", study=values["study"] or "", limit=values["limit"])
    if not emitted(found, as_json=values["as_json"], json_out=None):
        print_entries(found["entries"])


def _audit_verify(node: NodeElsewhere, values: Values) -> None:
    from dataclasses import asdict

    from dicom_node.commands.prove.entries import verdict_lines
    from dicom_node.receipts.receipt import head_named_by

    also = [head_named_by(file.read_bytes(), str(file)) for file in values["receipt"] or ()]
    found = node.post("/api/audit/verify", also=[asdict(one) for one in also])
    _say(verdict_lines(found["lines"], found["faults"]))
    if found["faults"]:
        raise typer.Exit(1)


def _receipt_key(node: NodeElsewhere, _values: Values) -> None:
    typer.echo(node.get("/api/receipt-key")["key"])


def _files_in(paths: list[Path]) -> Iterator[Path]:
    from mammoclip_core.images.decoding.data_set import is_dicom_file

    for path in paths:
        if not path.exists():
            raise NodeError(f"there is no file or folder {path}")
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            # Links are not followed: what a folder points to elsewhere is not a part of it.
            is_part = file.is_file() and not file.is_symlink()
            if is_part and (file == path or is_dicom_file(file)):
                yield file


def _say(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


OF_FILES: Final[dict[str, Callable[[NodeElsewhere, Values], None]]] = {
    "check": _check,
    "submit": _submit,
    "test-rule": _test_rule,
    "audit show": _audit_show,
    "audit verify": _audit_verify,
    "receipt-key": _receipt_key,
}
