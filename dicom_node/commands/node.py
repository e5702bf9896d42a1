"""The command line mammoclip-node: each command makes one call and prints its result."""

import signal
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.commands.batches.assessing import add_assessing_commands
from dicom_node.commands.batches.folders import add_folder_commands
from dicom_node.commands.batches.runs import add_run_commands
from dicom_node.commands.destinations import add_destination_commands
from dicom_node.commands.model.watching import add_watching_commands
from dicom_node.commands.observe.observing import add_observing_commands
from dicom_node.commands.observe.scoring import add_scoring_commands
from dicom_node.commands.operate.accounts import add_account_commands
from dicom_node.commands.operate.keeping import add_keeping_commands
from dicom_node.commands.operate.operating import add_operator_commands
from dicom_node.commands.prove.accounting import add_accounting_commands
from dicom_node.commands.remote.choosing import (
    HereOrElsewhere,
    NodeAuthoritiesOption,
    NodeOption,
    TokenFileOption,
)
from dicom_node.commands.result_objects import add_object_commands
from dicom_node.commands.routing import add_routing_commands
from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    JsonOutOption,
    StudyOrAccessionArgument,
    emitted,
    ledger_of,
    one_line_errors,
    settings_of,
)
from mammoclip_core.commands.help_pages import fill_paragraphs
from mammoclip_core.commands.version import version_option

app = typer.Typer(
    name="mammoclip-node",
    cls=HereOrElsewhere,
    help="The DICOM node: receives mammograms and queues them for analysis and delivery. "
    "Research use only: not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    *,
    _: Annotated[bool, version_option("mammoclip-node")] = False,
    node: NodeOption = None,
    token_file: TokenFileOption = None,
    node_authorities: NodeAuthoritiesOption = None,
) -> None:
    """Which node is spoken to stands before the command; HereOrElsewhere reads it."""


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="File to write; must not exist yet.")] = Path(
        "mammoclip.toml"
    ),
    spool: Annotated[
        Path | None,
        typer.Option(
            help="Folder for images and results, entered in the file. Default: spool beside the "
            "file; for a file below /etc, /var/lib/mammoclip/spool.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a settings file with every setting, its default and an explanation.

    Example: mammoclip-node init /etc/mammoclip/mammoclip.toml
    """
    from dicom_node.settings.reading import default_settings_text
    from dicom_node.spool.files.private_files import create_private_file

    with one_line_errors():
        with create_private_file(path) as stream:
            stream.write(
                default_settings_text(spool.absolute() if spool else _spool_for(path)).encode()
            )
        typer.echo(f"{path} written. Next: edit it, then run 'mammoclip-node check'.")


def _spool_for(settings_file: Path) -> Path:
    """Return where a new installation keeps its data: never among a system's settings."""
    if Path("/etc") in settings_file.absolute().parents:
        return Path("/var/lib/mammoclip/spool")
    return Path("spool")


@app.command()
def check(
    config: ConfigOption = None,
    before_start: Annotated[
        bool,
        typer.Option(
            "--before-start", help="Do not ask whether node and workers run, nor what waits."
        ),
    ] = False,
    oldest_minutes: Annotated[
        float,
        typer.Option(min=0, help="A warning if work has waited for longer, in minutes."),
    ] = 30,
) -> None:
    """Check settings, bundle, spool, ledger, broker, destinations, node and workers. Read-only.

    Run it as the account of the node. Notes below the checks: what is paused, how fast the spool's
    disk fills, and what the retention frees of it.

    Exit status, as monitoring programs read it: 0 if all is well, 1 for a warning, 2 if anything
    failed.

    Example: mammoclip-node check --config /etc/mammoclip/mammoclip.toml
    """
    from dicom_node.commands.checks.checked import Level
    from dicom_node.commands.checks.checking_all import all_checks, notes_below

    with one_line_errors():
        settings = settings_of(config)
        worst = Level.OK
        old_after = None if before_start else timedelta(minutes=oldest_minutes)
        for one in all_checks(settings, old_after=old_after):
            worst = max(worst, one.level)
            typer.echo(one.in_words())
        for note in notes_below(settings):
            typer.echo(f"note  {note}")
        if worst:
            raise typer.Exit(worst)


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the node: receive images, queue complete studies. Ctrl-C or SIGTERM stops it.

    Example: mammoclip-node serve --config /etc/mammoclip/mammoclip.toml
    """
    from dicom_node.commands.checks.writable import require_writable_ledger, require_writable_spool
    from dicom_node.model_bundle import pass_licence_gate
    from dicom_node.node_parts import warn_of_open_settings
    from dicom_node.node_process import running_node
    from dicom_node.studies.ledger.database import Database

    with one_line_errors():
        settings = settings_of(config)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        pass_licence_gate(settings.model)
        require_writable_spool(settings.spool)
        with closing(Database(settings.ledger_url)) as database:
            require_writable_ledger(database)
        warn_of_open_settings(settings)
        with running_node(settings):
            stop.wait()


@app.command()
def studies(
    config: ConfigOption = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of studies.")] = 50,
    find: Annotated[
        bool,
        typer.Option(
            "--find",
            help="Only studies of an accession number, patient ID, name or UID, which is asked for "
            "or read from standard input; its beginning will do.",
        ),
    ] = False,
    state: Annotated[
        str, typer.Option(help="Only studies in this state, for example failed. Default: all.")
    ] = "",
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """List received studies and their state, most recently received first.

    Below them: how many received objects are not registered yet.

    Example: mammoclip-node studies --limit 10

    Example: mammoclip-node studies --find --state delivered
    """
    from dicom_node.commands.observe.overview import print_studies, studies_document
    from dicom_node.studies.ledger.search.study_search import StudyFilter

    # Never as an argument: other users of the machine can read those.
    text = typer.prompt("Accession number, patient ID, name or UID", err=True) if find else ""
    with one_line_errors(), ledger_of(config) as (settings, database):
        with database.reading() as session:
            wanted = StudyFilter(text=text, condition=state)
            document = studies_document(settings, session, wanted, limit=limit)
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_studies(document)


@app.command()
def show(
    study: StudyOrAccessionArgument,
    config: ConfigOption = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="Maximum number of rows of each kind.")
    ] = 1000,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Show the images, findings, deliveries and history of one study.

    Example: mammoclip-node show 1.2.826.0.1.3680043.8.498.1

    Example: mammoclip-node show A-2026-0417
    """
    from dicom_node.commands.observe.overview import print_study, study_document

    with one_line_errors(), ledger_of(config) as (settings, database):
        with database.reading() as session:
            document = study_document(settings, session, study, limit=limit)
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_study(document)


add_destination_commands(app)
add_observing_commands(app)
add_operator_commands(app)
add_keeping_commands(app)
add_folder_commands(app)
add_run_commands(app)
add_routing_commands(app)
add_accounting_commands(app)
add_watching_commands(app)
add_scoring_commands(app)
add_assessing_commands(app)
add_account_commands(app)
add_object_commands(app)
fill_paragraphs(app)


def main() -> None:
    """Run the command line; the files that it writes are its user's alone."""
    from dicom_node.spool.files.private_files import keep_new_files_private

    keep_new_files_private()
    app()


if __name__ == "__main__":
    main()
