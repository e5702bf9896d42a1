"""What the commands about the model ask of a node elsewhere: drift, thresholds, tables, report."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import typer

from dicom_node.commands.remote.node_elsewhere import NodeElsewhere, NodeElsewhereError, restored
from dicom_node.commands.terminal import emitted, print_table
from dicom_node.errors import NodeError
from mammoclip_core.counting import counted

Values = dict[str, Any]


def _drift(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.model.outlooks import outlook_tables

    if values["new_reference"]:
        if not values["reason"].strip():
            raise NodeError("give a reason: --reason TEXT")
        wanted = {"scanner": values["new_reference"], "reason": values["reason"]}
        _say_done(node.post("/api/drift/reference", **wanted))
        return
    found = node.get("/api/drift", days=values["days"])
    document = {key: found[key] for key in ("since", "equipment", "alarms")}
    if not emitted(document, as_json=values["as_json"], json_out=None):
        for table in outlook_tables(document):
            print_table(table)


def _thresholds(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.model.threshold_commands import in_words, require_one_wish

    propose, accept, withdraw = (values[one] for one in ("propose", "accept", "withdraw"))
    require_one_wish(propose, values["reference"], accept, withdraw)
    if propose:
        wanted = {"equipment": propose, "reference": values["reference"]}
        _say_done(node.post("/api/thresholds", **wanted))
    elif accept or withdraw:
        act = "accept" if accept else "withdraw"
        _say_done(node.post(f"/api/thresholds/{accept or withdraw}/{act}"))
    else:
        document = restored(node.get("/api/thresholds"))
        if not emitted(document, as_json=values["as_json"], json_out=None):
            for line in in_words(document):
                typer.echo(line)


def _replay(node: NodeElsewhere, values: Values) -> None:
    _say_done(node.post("/api/replay", bundle=values["bundle"], since=values["since"]))


def _shadow(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.shadow_report import print_shadows, shadow_document
    from dicom_node.studies.shadow_comparison import Comparison

    found = node.get("/api/shadows", limit=values["limit"], bundle=values["bundle"])
    compared = [Comparison(**one) for one in found["comparisons"]]
    document = shadow_document(compared)
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        print_shadows(compared)


def _report(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.model.reporting import report_kind
    from dicom_node.spool.files.private_files import create_private_file

    out, truth = values["out"], values["truth"]
    path = f"/api/report.{report_kind(out)}"
    times = {key: values[key] for key in ("since", "until") if values[key]}
    if truth is None:
        content = node.form(path, **times).content
    else:
        with truth.open("rb") as table:
            content = node.form(path, [("truth", table)], **times).content
    with create_private_file(out) as stream:
        stream.write(content)
    typer.echo(f"{out} written")


def _export(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.spool.files.private_files import create_private_file

    out: Path = values["out"]
    cases = set()
    times = {key: values[key] for key in ("since", "until") if values[key]}
    lines = node.lines("/api/export", **times)
    heading = next(lines, "")
    with create_private_file(out) as stream:
        stream.write(f"{heading}\n".encode())
        for line in lines:
            cases.add(line.partition(",")[0])
            stream.write(f"{line}\n".encode())
    typer.echo(f"{len(cases)} answers in {out}")


def _scores(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.studies.score_table import SCORE_COLUMNS

    query = {key: values[key] for key in ("since", "until", "rule") if values[key]}
    _table_written(node, "/api/scores", query, values["out"], SCORE_COLUMNS)


def _assessments(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.assessments.keeping import ASSESSMENT_COLUMNS

    truths, out = values["truths"], values["out"]
    if truths is None and out is None:
        raise NodeError("give a file of what turned out to be true, or --out, or both")
    is_whole = True
    if truths is not None:
        with truths.open("rb") as table:
            done = node.sent("/api/assessments", [("file", table)])
        for line in done["lines"]:
            typer.echo(line, err=True)
        typer.echo(done["done"])
        is_whole = done["whole"]
    if out is not None:
        _table_written(node, "/api/assessments", {}, out, ASSESSMENT_COLUMNS)
    if not is_whole:
        raise typer.Exit(1)


def _table_written(
    node: NodeElsewhere,
    path: str,
    query: Mapping[str, str],
    out: Path,
    columns: Mapping[str, type],
) -> None:
    from dicom_node.commands.table_files import require_table, table_written

    require_table(out)
    count = table_written(_rows(node, node.lines(path, **query)), out, columns)
    typer.echo(f"{counted(count, 'row')} in {out}")


def _rows(node: NodeElsewhere, lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise NodeElsewhereError(
                f"{node.url} gives no answer of a node: is it another version?"
            )
        yield row


def _say_done(document: dict[str, Any]) -> None:
    for line in document["done"]:
        typer.echo(line)


OF_THE_MODEL: Final[dict[str, Callable[[NodeElsewhere, Values], None]]] = {
    "drift": _drift,
    "thresholds": _thresholds,
    "replay": _replay,
    "shadow": _shadow,
    "report": _report,
    "export": _export,
    "scores": _scores,
    "assessments": _assessments,
}
