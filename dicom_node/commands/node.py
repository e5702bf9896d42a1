"""mammoclip-node: the node's commands, each one call and what it prints."""

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dicom_node.errors import LedgerError, NodeError

if TYPE_CHECKING:
    from dicom_node.settings.settings import Settings
    from dicom_node.studies.ledger.database import Database

app = typer.Typer(
    name="mammoclip-node",
    help="The DICOM node: receives mammograms, has them analysed, delivers the results. "
    "Research use only: not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mammoclip-node {version('mammoclip-dicom')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print name and version."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", envvar="MAMMOCLIP_CONFIG", help="Settings file; ./mammoclip.toml if not given."
    ),
]
StudyArgument = Annotated[str, typer.Argument(help="Study Instance UID.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JsonOutOption = Annotated[Path | None, typer.Option(help="Write the JSON to this file, too.")]


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("mammoclip.toml"),
) -> None:
    """Write a settings file with every setting, its default and what it means.

    Example: mammoclip-node init /etc/mammoclip.toml
    """
    from dicom_node.settings.reading import default_settings_text

    with _one_line_errors():
        with path.open("x", encoding="utf-8") as stream:
            stream.write(default_settings_text())
        typer.echo(f"{path} written; next: edit it, then 'mammoclip-node check'")


@app.command()
def check(config: ConfigOption = None) -> None:
    """Check settings, bundle, spool, ledger, broker and destinations. Read-only.

    Exit status: 0 if all is well, 1 if something has to be mended.

    Example: mammoclip-node check --config /etc/mammoclip.toml
    """
    from dicom_node.commands.check import run_checks
    from dicom_node.logs import configure_logs

    with _one_line_errors():
        settings = _settings(config)
        configure_logs(settings.log_format)
        failed = 0
        for name, problem in run_checks(settings):
            failed += problem is not None
            typer.echo(f"{'ok  ' if problem is None else 'FAIL'}  {name}{_after(problem)}")
        if failed:
            raise typer.Exit(1)


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the node: receive images, queue complete studies. Ctrl-C or SIGTERM stops it.

    Example: mammoclip-node serve --config /etc/mammoclip.toml
    """
    from dicom_node.logs import configure_logs
    from dicom_node.model_bundle import pass_licence_gate
    from dicom_node.node_process import running_node

    with _one_line_errors():
        settings = _settings(config)
        configure_logs(settings.log_format)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        pass_licence_gate(settings.model)
        with running_node(settings):
            stop.wait()


@app.command()
def studies(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 50,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """List the studies and what became of them.

    Example: mammoclip-node studies --limit 10
    """
    from dicom_node.commands.tables import set_aside_table, studies_table
    from dicom_node.studies.ledger import reading

    with _one_line_errors(), _ledger(config) as (_, database), database.reading() as session:
        summaries = reading.summaries(session, limit=limit)
        without_study = reading.set_aside_without_study(session, limit=limit)
        document = {"studies": [asdict(one) for one in summaries], "set_aside": without_study}
        if not _emit(document, as_json=as_json, json_out=json_out):
            _show(studies_table(summaries))
            if without_study:
                _show(set_aside_table(without_study))


@app.command()
def show(
    study: StudyArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Show everything that is known of one study: images, findings, deliveries, history.

    Example: mammoclip-node show 1.2.826.0.1.3680043.8.498.1
    """
    from dicom_node.commands.tables import study_record_tables
    from dicom_node.studies.ledger import reading

    with _one_line_errors(), _ledger(config) as (_, database), database.reading() as session:
        record = reading.study_record(session, reading.find_study(session, study))
        document = {**record, "summary": asdict(record["summary"])}
        if not _emit(document, as_json=as_json, json_out=json_out):
            for table in study_record_tables(record):
                _show(table)


@app.command()
def retry(study: StudyArgument, config: ConfigOption = None) -> None:
    """Retry set-aside images, a failed analysis or undelivered results of a study.

    A study that was analysed and delivered is analysed and delivered anew.

    Example: mammoclip-node retry 1.2.826.0.1.3680043.8.498.1
    """
    from dicom_node.node_process import open_spool
    from dicom_node.studies.operator_actions import judge_again, retry_study

    with _one_line_errors(), _ledger(config) as (settings, database):
        with database.writing() as session:
            done = judge_again(session, open_spool(settings), study)
            done += retry_study(session, study, at=datetime.now(UTC))
        for line in done:
            typer.echo(line)
        if not done:
            raise NodeError("nothing to try again: the study is still being worked on")


@app.command()
def cancel(study: StudyArgument, config: ConfigOption = None) -> None:
    """Stop the analysis of a study that is waiting or running.

    Example: mammoclip-node cancel 1.2.826.0.1.3680043.8.498.1
    """
    from dicom_node.studies.operator_actions import cancel_study

    with _one_line_errors(), _ledger(config) as (_, database):
        with database.writing() as session:
            done = cancel_study(session, study, at=datetime.now(UTC))
        for line in done:
            typer.echo(line)
        if not done:
            raise NodeError("nothing to cancel: no analysis is waiting or running")


@app.command()
def render(
    study: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="DICOM folder.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the objects. Must be new or empty.")],
    bundle: Annotated[
        Path | None,
        typer.Option(envvar="MAMMOCLIP_BUNDLE", help="Bundle; the demonstration one if not given."),
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(
            envvar="MAMMOCLIP_ACCEPT",
            help="Licence phrase, exactly as 'mammoclip-predict info' prints it.",
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="ohif, workstation, pacs, all, or one of the settings.")
    ] = "all",
    findings: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Findings document, instead of analysing."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where to compute: cpu, cuda, cuda:N; auto: a GPU if there is one.")
    ] = "auto",
    tomosynthesis: Annotated[
        Literal["refuse", "middle", "max"],
        typer.Option(
            help="Frames used from a multi-frame image: none, the middle one, or up to 16."
        ),
    ] = "refuse",
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file, for profiles of your own; none is needed."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the result objects of a study on disk: no network, no service.

    Example: mammoclip-node render study/ --out results/ --profile workstation
    """
    from dicom_node.commands.render import Model, render_study
    from dicom_node.commands.tables import rendered_table
    from dicom_node.destination_profiles import profile_named

    with _one_line_errors():
        settings = None if config is None else _settings(config)
        written = render_study(
            study,
            out,
            profile_named(profile, settings),
            model=Model(bundle=bundle, accept=accept, device=device, tomosynthesis=tomosynthesis),
            findings_file=findings,
        )
    document = {"objects": [asdict(one) for one in written]}
    if not _emit(document, as_json=as_json, json_out=None):
        _show(rendered_table(written))


@app.command()
def validate(
    path: Annotated[Path, typer.Argument(exists=True, help="A DICOM file or a folder of them.")],
    as_json: JsonOption = False,
) -> None:
    """Check result objects by our own rules and by every validator that is installed.

    Example: mammoclip-node validate results/

    Exit status: 0 if nothing is wrong, 1 if something is or there is no DICOM file.
    """
    from dicom_node.commands.tables import verdicts_table
    from dicom_node.commands.validate import validate_path

    with _one_line_errors():
        verdicts = validate_path(path)
    document = {"verdicts": [asdict(one) for one in verdicts]}
    if not _emit(document, as_json=as_json, json_out=None):
        _show(verdicts_table(verdicts))
    if not verdicts or any(one.failed for one in verdicts):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    app()


def _settings(config: Path | None) -> "Settings":
    from dicom_node.settings.reading import load_settings

    return load_settings(config)


@contextmanager
def _ledger(config: Path | None) -> Iterator[tuple["Settings", "Database"]]:
    from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database

    settings = _settings(config)
    database = Database(settings.ledger_url)
    try:
        database.require_schema()
        yield settings, database
    except DATABASE_TROUBLE as error:
        raise LedgerError(f"the ledger does not answer: {type(error).__name__}") from error
    finally:
        database.close()


def _emit(document: dict[str, Any], *, as_json: bool, json_out: Path | None) -> bool:
    text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
    if json_out is not None:
        json_out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    return as_json


def _show(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not sys.stdout.isatty():
        console.width = 200
    console.print(table)


def _after(problem: str | None) -> str:
    return "" if problem is None else f": {problem}"


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show what a person can do something about in one line; let bugs through."""
    try:
        yield
    except NodeError as error:
        typer.echo(f"mammoclip-node: {error}", err=True)
        raise typer.Exit(1) from error
    except FileExistsError as error:
        typer.echo(f"mammoclip-node: {error.filename} exists and is left as it is", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        typer.echo(f"mammoclip-node: {about}{error.strerror or error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
