"""The commands by which an operator intervenes: retry, cancel, priority, pause, resume, canary."""

from typing import Annotated

import typer

from dicom_node.audit.acts import Act
from dicom_node.commands.acting import acting
from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    StudyArgument,
    emitted,
    ledger_of,
    one_line_errors,
    settings_of,
)
from dicom_node.errors import NodeError


def add_operator_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (retry, cancel, priority, pause, resume, drain, erase, canary):
        app.command()(command)


def retry(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID. Not with --all.")] = None,
    *,
    config: ConfigOption = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Retry every failed analysis and every refused or expired delivery whose reason "
            "contains --reason.",
        ),
    ] = False,
    reason: Annotated[
        str, typer.Option(help="Part of the reason; case does not matter. Only with --all.")
    ] = "",
    destination: Annotated[
        str,
        typer.Option(
            help="Try this destination now: what waits for it, and what it refused since it "
            "fails. If it is down, with one delivery first. What it refused while it took others "
            "is retried by --all and --reason. Not with a study or --all."
        ),
    ] = "",
    bundle: Annotated[
        str,
        typer.Option(
            help="Analyse this study again by this further bundle of the settings. Default: by "
            "that of the section model. Only with a study."
        ),
    ] = "",
) -> None:
    """Retry set-aside images, a failed analysis or undelivered results of a study.

    A study without any of these is analysed and delivered again. What is analysed goes by the
    rules of the settings as they are now.

    Example: mammoclip-node retry 1.2.826.0.1.3680043.8.498.1

    Example: mammoclip-node retry --all --reason "licence"

    Example: mammoclip-node retry --destination archive

    Example: mammoclip-node retry 1.2.826.0.1.3680043.8.498.1 --bundle second
    """
    from dicom_node.commands.operate.retry import retried

    named = [] if study is None else [study]
    wanted = " ".join(filter(None, ("all" * every, reason, destination, bundle)))
    with (
        one_line_errors(),
        acting(config, Act.RETRY, studies=named, detail=wanted) as (settings, database, said),
    ):
        done = retried(
            settings,
            database,
            study,
            every=every,
            reason=reason,
            destination=destination,
            bundle=bundle,
        )
        said.detail = "; ".join(done)
        for line in done:
            typer.echo(line)


def cancel(study: StudyArgument, config: ConfigOption = None) -> None:
    """Stop the analysis of a study that is waiting or running.

    Example: mammoclip-node cancel 1.2.826.0.1.3680043.8.498.1
    """
    from dicom_node.commands.waiting import waiting_objects
    from dicom_node.studies.ledger.locks import database_time
    from dicom_node.studies.operator_actions import cancel_study

    with one_line_errors(), acting(config, Act.CANCEL, studies=[study]) as (settings, database, _):
        waiting = waiting_objects(settings.spool)
        with database.writing() as session:
            done = cancel_study(session, study, at=database_time(session))
        for line in done:
            typer.echo(line)
        if waiting.objects:  # one of this study starts a new revision
            typer.echo(waiting.in_words(), err=True)
        if not done:
            raise NodeError(
                "nothing to cancel: no analysis of this study is waiting or running. "
                f"See 'mammoclip-node show {study}'"
            )


def priority(
    study: StudyArgument,
    level: Annotated[str, typer.Argument(metavar="PRIORITY", help="stat, routine or off-peak.")],
    config: ConfigOption = None,
) -> None:
    """Analyse and deliver a study before or after others; what is under way is not interrupted.

    stat: begun by the next worker that is free, before all others. routine: the default.
    off-peak: after all others, and only within work.off_peak_hours.

    Example: mammoclip-node priority 1.2.826.0.1.3680043.8.498.1 stat
    """
    from dicom_node.studies.prioritising import set_priority

    act = acting(config, Act.PRIORITY, studies=[study], detail=level)
    with one_line_errors(), act as (_, database, _said):
        with database.writing() as session:
            done = set_priority(session, study, level)
        typer.echo(done)


WhatArgument = Annotated[
    str, typer.Argument(metavar="WHAT", help="node, worker, results, sender or destination.")
]
NameArgument = Annotated[
    str,
    typer.Argument(metavar="[NAME]", help="AE title of a sender, or name of a destination."),
]


def pause(
    what: WhatArgument,
    name: NameArgument = "",
    config: ConfigOption = None,
    reason: Annotated[str, typer.Option(help="Why; shown by studies, show and check.")] = "",
) -> None:
    """Let work wait until it is resumed. Receiving goes on, and what is under way is finished.

    node: nothing is analysed or delivered. worker: nothing is analysed. results: studies are
    analysed, and nothing is sent anywhere. sender: the studies of this AE title are not analysed.
    destination: nothing is sent there. It outlasts restarts.

    Example: mammoclip-node pause destination archive --reason "moved to another rack"
    """
    from dicom_node.commands.operate.pausing import paused

    act = acting(config, Act.PAUSE, detail=f"{what} {name} {reason}".strip())
    with one_line_errors(), act as (settings, database, _):
        for line in paused(settings, database, what, name, reason):
            typer.echo(line)


def resume(what: WhatArgument, name: NameArgument = "", config: ConfigOption = None) -> None:
    """End a pause: what waited is analysed and delivered, the most urgent first.

    Example: mammoclip-node resume destination archive
    """
    from dicom_node.commands.operate.pausing import resumed

    act = acting(config, Act.RESUME, detail=f"{what} {name}".strip())
    with one_line_errors(), act as (_, database, _said):
        typer.echo(resumed(database, what, name))


def drain(
    config: ConfigOption = None,
    *,
    reason: Annotated[str, typer.Option(help="Why; shown by check and the console.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Receive again.")] = False,
) -> None:
    """Take nothing new, and finish what is there, as before the machine is switched off.

    Senders are refused for a while (PS3.8, rejected-transient) and try again. It outlasts restarts.

    Example: mammoclip-node drain --reason "the machine is moved"

    Example: mammoclip-node drain --end
    """
    from contextlib import closing

    from dicom_node.audit_trail import audited
    from dicom_node.commands.account import account
    from dicom_node.commands.operate.pausing import drained, receiving_again
    from dicom_node.studies.ledger.database import Database

    with one_line_errors():
        settings = settings_of(config)
        # Not acting(): a node is drained without its ledger too, which may be what is mended.
        with (
            closing(Database(settings.ledger_url)) as database,
            audited(
                settings,
                database,
                Act.DRAIN,
                who=account(),
                via="command",
                detail="end" if end else reason,
            ),
        ):
            lines = [receiving_again(settings)] if end else drained(settings, reason)
        for line in lines:
            typer.echo(line)


def erase(
    study: Annotated[
        str | None, typer.Argument(help="Study Instance UID. Not with --patient.")
    ] = None,
    *,
    config: ConfigOption = None,
    patient: Annotated[
        bool,
        typer.Option(
            "--patient",
            help="Erase every study of a patient, whose Patient ID is asked for, or read from "
            "standard input.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option(help="Say what would be erased; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Give up analyses and deliveries that are under way."),
    ] = False,
) -> None:
    """Erase everything that is kept of a study or patient: files, results, rows. For good.

    What was erased is recorded in erased.jsonl in the spool, without the patient. Archives that
    have results of it keep them.

    Example: mammoclip-node erase 1.2.826.0.1.3680043.8.498.1 --dry-run

    Example: mammoclip-node erase --patient
    """
    from dicom_node.audit_trail import audited
    from dicom_node.commands.account import account
    from dicom_node.commands.operate.erase import Erasure, in_words

    with one_line_errors(), ledger_of(config) as (settings, database):
        if patient == (study is not None):
            raise NodeError("name one study, or give --patient to be asked for a Patient ID")
        # Never as an argument: other users of the machine can read those.
        patient_id = typer.prompt("Patient ID", err=True).strip() if patient else None
        erasure = Erasure(settings=settings, database=database)
        if not dry_run:
            erasure.register_what_waits(force=force)
        found = erasure.holdings(study, patient_id)
        for one in found:
            busy = f"; {one.under_way}" if one.under_way else ""
            typer.echo(f"study {one.study_instance_uid}: {in_words(one)}{busy}")
        if dry_run:
            return
        if not yes:
            question = (
                f"Erase {'this study' if len(found) == 1 else f'these {len(found)} studies'}?"
            )
            typer.confirm(question, abort=True, err=True)
        studies = [one.study_instance_uid for one in found]
        with audited(settings, database, Act.ERASE, who=account(), via="command", studies=studies):
            for line in erasure.erase(found, force=force):
                typer.echo(line)


def canary(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Send a phantom study the whole way, from reception to delivery, and name what is broken.

    It has a reserved patient, and goes only to destinations with canary = true, by default to
    this command itself; 'studies' does not list it.

    Example: mammoclip-node canary

    Exit status: 0 if every phase ended as it should or one is paused, 1 if one is broken.
    """
    from dataclasses import asdict

    from dicom_node.canary.run import run_canary

    with one_line_errors(), ledger_of(config) as (settings, database):
        run = run_canary(settings, database)
        if not emitted(asdict(run), as_json=as_json, json_out=None):
            for phase, seconds in run.seconds.items():
                typer.echo(f"ok    {phase}: {seconds:.2f} s")
            if run.broken:
                typer.echo(f"FAIL  {run.broken}: {run.reason}")
            if run.is_held:
                typer.echo(f"held  {run.reason}")
        if run.broken:
            raise typer.Exit(1)
