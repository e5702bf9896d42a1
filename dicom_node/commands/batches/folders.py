"""The commands for files on a disk: can they be analysed, and into the node with them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dicom_node.commands.terminal import (
    ConfigOption,
    JsonOption,
    JsonOutOption,
    emitted,
    one_line_errors,
    print_table,
    settings_of,
)

SENDER = "SUBMIT"
"""AE title under which files count that somebody submits."""

PathsArgument = Annotated[
    list[Path],
    typer.Argument(exists=True, metavar="FOLDER...", help="Folders or single DICOM files."),
]
SenderOption = Annotated[
    str,
    typer.Option(
        "--ae-title",
        help="Sender that the files count as, for settings such as receive.radiograph_senders.",
    ),
]


def add_folder_commands(app: typer.Typer) -> None:
    """Add the commands to a command line."""
    for command in (inspect, submit):
        app.command()(command)


def inspect(
    paths: PathsArgument,
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file, for rules of the site. Optional."),
    ] = None,
    ae_title: SenderOption = SENDER,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Say which studies in a folder can be analysed, and why the other images cannot. Read-only.

    Headers are read as by the node; pixels are not decoded. A DICOMDIR is not followed.

    Example: mammoclip-node inspect /media/cdrom

    Exit status: 0 if every study can be analysed with all its mammograms, 1 if one cannot, a file
    that may be an image cannot be read, or there is no study.
    """
    from dicom_node.commands.batches.folder_reports import inspection_document, inspection_tables
    from dicom_node.receive.files.inspection import inspect_files
    from dicom_node.settings.model import ModelSettings
    from dicom_node.settings.ways_in.receive import ReceiveSettings

    with one_line_errors():
        settings = None if config is None else settings_of(config)
        found = inspect_files(
            paths,
            receive=ReceiveSettings() if settings is None else settings.receive,
            model=ModelSettings() if settings is None else settings.model,
            calling_ae_title=checked_ae_title(ae_title),
        )
        document = inspection_document(found)
        if not emitted(document, as_json=as_json, json_out=json_out):
            for table in inspection_tables(found):
                print_table(table)
        if not found.is_whole:
            raise typer.Exit(1)


def submit(
    paths: PathsArgument,
    *,
    config: ConfigOption = None,
    priority: Annotated[
        Literal["stat", "routine", "off-peak"] | None,
        typer.Option(
            help="stat, routine or off-peak. Default: as for images that this AE title sends."
        ),
    ] = None,
    ae_title: SenderOption = SENDER,
    as_json: JsonOption = False,
    json_out: JsonOutOption = None,
) -> None:
    """Put the DICOM files of a folder into the node's spool, whether the node runs or not.

    As by C-STORE: what is reported as submitted is safe on disk, the same SOP Classes are taken,
    and copies of what the node has do no harm. If it is interrupted, run it again.

    Example: mammoclip-node submit /media/cdrom --priority off-peak

    Exit status: 0 if every file that may be an image was submitted, 1 if not, or there is none.
    """
    from dicom_node.commands.batches.folder_reports import print_submission, submission_document
    from dicom_node.facts.priority import OF_WORDS
    from dicom_node.node_parts import open_spool
    from dicom_node.receive.files.file_intake import file_intake, prepare_spool
    from dicom_node.receive.files.submission import files_to_submit, submit_files
    from mammoclip_core.commands.progress_bar import counted

    with one_line_errors():
        settings = settings_of(config)
        spool = open_spool(settings)
        prepare_spool(spool)
        found = files_to_submit(paths)
        with (
            file_intake(
                settings.receive,
                spool,
                origin="submit",
                calling_ae_title=checked_ae_title(ae_title),
                priority=None if priority is None else OF_WORDS[priority],
            ) as intake,
            counted(found.count, "files") as next_file,
        ):
            done = submit_files(found, intake, on_file=next_file)
        document = submission_document(done)
        if not emitted(document, as_json=as_json, json_out=json_out):
            print_submission(done)
        if not done.is_whole:
            raise typer.Exit(1)


def checked_ae_title(ae_title: str) -> str:
    """Return an AE title as it counts.

    Raises
    ------
    NodeError
        It is none.
    """
    from pydantic import TypeAdapter, ValidationError

    from dicom_node.errors import NodeError
    from dicom_node.settings.section import AETitle

    try:
        found: str = TypeAdapter(AETitle).validate_python(ae_title)
    except ValidationError as error:
        raise NodeError("--ae-title: give 1 to 16 characters without a backslash") from error
    return found
