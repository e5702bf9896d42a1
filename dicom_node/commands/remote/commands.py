"""What each command asks of a node elsewhere; it prints what the same command prints there."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import typer

from dicom_node.commands.remote.file_commands import OF_FILES
from dicom_node.commands.remote.model_commands import OF_THE_MODEL
from dicom_node.commands.remote.node_elsewhere import NodeElsewhere, restored
from dicom_node.commands.terminal import emitted
from dicom_node.errors import NodeError

Values = dict[str, Any]
"""Arguments and options of a command, by the names of its parameters."""


def _studies(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.observe.overview import print_studies

    # Never as an argument: other users of the machine can read those.
    asked = "Accession number, patient ID, name or UID"
    text = typer.prompt(asked, err=True) if values["find"] else ""
    wanted = {"text": text, "state": values["state"], "limit": values["limit"]}
    document = restored(node.post("/api/studies/list", **wanted))
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        print_studies(document)


def _show(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.observe.overview import print_study

    wanted = {"name": values["study"], "limit": values["limit"]}
    document = restored(node.post("/api/studies/show", **wanted))
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        print_study(document)


def _why(node: NodeElsewhere, values: Values) -> None:
    uid = node.post("/api/studies/named", name=values["study"])["study_instance_uid"]
    _say(node.get(f"/api/studies/{quote(uid)}/why")["lines"])


def _destinations(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.tables import destinations_table
    from dicom_node.commands.terminal import print_table
    from dicom_node.studies.ledger.destinations.overview import DestinationSummary

    document = restored(node.get("/api/destinations"))
    if not emitted(document, as_json=values["as_json"], json_out=values["json_out"]):
        summaries = [DestinationSummary(**one) for one in document["destinations"]]
        print_table(destinations_table(summaries))


def _metrics(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.commands.observe.metrics import write_whole

    text = node.content("/metrics").decode("utf-8")
    if values["out"] is None:
        typer.echo(text, nl=False)
    else:
        write_whole(values["out"], text)


def _receipt(node: NodeElsewhere, values: Values) -> None:
    from dicom_node.spool.files.private_files import create_private_file

    content = node.content(f"{_study(values)}/receipt")
    if values["out"] is None:
        typer.echo(content.decode("ascii"), nl=False)
    else:
        with create_private_file(values["out"]) as stream:
            stream.write(content)


def _retry(node: NodeElsewhere, values: Values) -> None:
    wanted = {key: values[key] for key in ("study", "every", "reason", "destination", "bundle")}
    _say_done(node.post("/api/retry", **wanted))


def _cancel(node: NodeElsewhere, values: Values) -> None:
    _say_done(node.post(f"{_study(values)}/cancel"))


def _priority(node: NodeElsewhere, values: Values) -> None:
    _say_done(node.post(f"{_study(values)}/priority", level=values["level"]))


def _pause(node: NodeElsewhere, values: Values) -> None:
    wanted = {key: values[key] for key in ("what", "name", "reason")}
    _say_done(node.post("/api/pauses", **wanted))


def _resume(node: NodeElsewhere, values: Values) -> None:
    _say_done(node.post("/api/pauses/end", what=values["what"], name=values["name"]))


def _drain(node: NodeElsewhere, values: Values) -> None:
    if values["end"]:
        _say_done(node.post("/api/drain/end"))
    else:
        _say_done(node.post("/api/drain", reason=values["reason"] or "by command"))


def _move_deliveries(node: NodeElsewhere, values: Values) -> None:
    path = f"/api/destinations/{quote(values['old'], safe='')}/move"
    _say_done(node.post(path, to=values["new"], reason=values["reason"]))


def _drop_deliveries(node: NodeElsewhere, values: Values) -> None:
    path = f"/api/destinations/{quote(values['name'], safe='')}/drop"
    _say_done(node.post(path, reason=values["reason"]))


def _erase(node: NodeElsewhere, values: Values) -> None:
    if values["study"] is None or values["patient"] or values["dry_run"] or values["force"]:
        raise NodeError("with --node, erase takes one study: the rest is done on the node itself")
    if not values["yes"]:
        typer.confirm(f"Erase this study at {node.url}?", abort=True, err=True)
    _say_done(node.delete(_study(values)))


def _canary(node: NodeElsewhere, values: Values) -> None:
    run = restored(node.post("/api/canary"))
    if not emitted(run, as_json=values["as_json"], json_out=None):
        for phase, seconds in run["seconds"].items():
            typer.echo(f"ok    {phase}: {seconds:.2f} s")
        if run["broken"]:
            typer.echo(f"FAIL  {run['broken']}: {run['reason']}")
        elif run["reason"]:
            typer.echo(f"held  {run['reason']}")
    if run["broken"]:
        raise typer.Exit(1)


def _study(values: Values) -> str:
    return f"/api/studies/{quote(values['study'], safe='')}"


def _say(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _say_done(document: dict[str, Any]) -> None:
    _say(document["done"])


ELSEWHERE: Final[dict[str, Callable[[NodeElsewhere, Values], None]]] = {
    "studies": _studies,
    "show": _show,
    "why": _why,
    "destinations": _destinations,
    "metrics": _metrics,
    "receipt": _receipt,
    "retry": _retry,
    "cancel": _cancel,
    "priority": _priority,
    "pause": _pause,
    "resume": _resume,
    "drain": _drain,
    "move-deliveries": _move_deliveries,
    "drop-deliveries": _drop_deliveries,
    "erase": _erase,
    "canary": _canary,
    **OF_THE_MODEL,
    **OF_FILES,
}
"""The commands that work with ``--node``, by name; why others do not is in `choosing`."""
