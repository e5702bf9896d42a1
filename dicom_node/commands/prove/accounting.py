"""The commands ``audit``, ``receipt``, ``verify-receipt`` and ``receipt-key``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.commands.remote.choosing import HereOrElsewhere
from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    StudyArgument,
    emitted,
    ledger_of,
    one_line_errors,
)

_audit = typer.Typer(
    cls=HereOrElsewhere,
    help="Who did what to which study: list the audit file, or check that nothing was altered.",
    no_args_is_help=True,
)


def add_accounting_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    app.add_typer(_audit, name="audit")
    for command in (receipt, verify_receipt, receipt_key):
        app.command()(command)


@_audit.command("verify")
def verify_audit(
    config: ConfigOption = None,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Receipt that was kept elsewhere: it names the line that was the last one then. "
            "May be given several times.",
        ),
    ] = None,
) -> None:
    """Check each line of the audit file, and that none is missing at its end.

    The ledger remembers the digest of every line, and receipts that of the last one then.

    Example: mammoclip-node audit verify

    Example: mammoclip-node audit verify --receipt receipt.jsonl

    Exit status: 0 if the file is as it was written, 1 if not.
    """
    from dicom_node.audit.acts import Act
    from dicom_node.audit_trail import audited, verified
    from dicom_node.commands.account import account
    from dicom_node.commands.prove.entries import verdict_lines
    from dicom_node.receipts.receipt import head_named_by

    with one_line_errors(), ledger_of(config) as (settings, database):
        # Looked at before a line is added: that would hide where the end was.
        also = [head_named_by(file.read_bytes(), str(file)) for file in receipt or ()]
        count, faults = verified(settings, database, also=also)
        found = f"{count} lines, {len(faults)} faults"
        with audited(settings, database, Act.VERIFY, who=account(), via="command", detail=found):
            pass
        for line in verdict_lines(count, [one.in_words() for one in faults]):
            typer.echo(line)
    if faults:
        raise typer.Exit(1)


@_audit.command("show")
def show_audit(
    study: Annotated[
        str | None, typer.Argument(help="Study Instance UID. Default: of all studies.")
    ] = None,
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of entries, the newest.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List who did what and when, the oldest first.

    Example: mammoclip-node audit show 1.2.826.0.1.3680043.8.498.1
    """
    from collections import deque

    from dicom_node.audit_trail import deeds_of
    from dicom_node.commands.prove.entries import print_entries

    with one_line_errors(), ledger_of(config) as (settings, _):
        entries = list(deque(deeds_of(settings, study), maxlen=limit))
        if not emitted({"entries": entries}, as_json=as_json, json_out=None):
            print_entries(entries)


def receipt(
    study: StudyArgument,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write; must be new. Default: standard output."),
    ] = None,
) -> None:
    """Write the signed receipt of a study: what came, what was made of it, what went where when.

    It names no patient. 'verify-receipt' checks it years later, without a node.

    Example: mammoclip-node receipt 1.2.826.0.1.3680043.8.498.1 --out receipt.jsonl
    """
    from dicom_node.audit.acts import Act
    from dicom_node.commands.acting import acting
    from dicom_node.commands.prove.receipts import receipt_of
    from dicom_node.spool.files.private_files import create_private_file

    with one_line_errors(), acting(config, Act.RECEIPT, studies=[study]) as (settings, database, _):
        content = receipt_of(settings, database, study)
        if out is None:
            typer.echo(content.decode("ascii"), nl=False)
        else:
            with create_private_file(out) as stream:
                stream.write(content)


def verify_receipt(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The receipt.")],
    key: Annotated[
        str | None,
        typer.Option(
            help="Public key that must have signed it, as 'receipt-key' prints it. Default: "
            "whichever the receipt names, which proves only that nothing changed since."
        ),
    ] = None,
) -> None:
    """Check the signature of a receipt, and that no byte of it was altered or cut off.

    Needs neither a node nor its settings.

    Example: mammoclip-node verify-receipt receipt.jsonl

    Exit status: 0 if the receipt is as it was signed, 1 if not.
    """
    from dicom_node.receipts.receipt import verify_receipt as verify

    with one_line_errors():
        verdict = verify(file.read_bytes(), key=key)
        for fault in verdict.faults:
            typer.echo(f"FAIL  {fault.in_words()}")
        if verdict.faults:
            raise typer.Exit(1)
        things = ", ".join(f"{count} {kind}" for kind, count in verdict.counts.items())
        typer.echo(f"ok    study {verdict.study}, made at {verdict.made_at}: {things}")
        known = "as wanted" if key else "compare it with what 'receipt-key' prints at the node"
        typer.echo(f"ok    signed by {verdict.key} ({known})")


def receipt_key(config: ConfigOption = None) -> None:
    """Print the public key by which receipts of this node are verified; keep it elsewhere.

    Example: mammoclip-node receipt-key
    """
    from dicom_node.commands.terminal import settings_of
    from dicom_node.node_parts import open_spool
    from dicom_node.receipts.signature import ReceiptKey

    with one_line_errors():
        typer.echo(ReceiptKey(open_spool(settings_of(config))).public)
