"""Commands on result objects as files: render and validate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from dicom_node.commands.terminal import (
    JsonOption,
    emitted,
    one_line_errors,
    print_table,
    pseudonyms_of,
    settings_of,
)


def add_object_commands(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(render)
    app.command()(validate)


def render(
    study: Annotated[
        Path,
        typer.Argument(file_okay=False, help="Folder with the DICOM files of one study."),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the result objects. Must be new or empty.")],
    bundle: Annotated[
        Path | None,
        typer.Option(
            envvar="MAMMOCLIP_BUNDLE", help="Bundle folder. Default: the demonstration bundle."
        ),
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(
            envvar="MAMMOCLIP_ACCEPT",
            help="Licence phrase, exactly as 'mammoclip-predict info' prints it. "
            "Not needed for a demonstration bundle.",
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Objects to make: ohif, workstation, pacs, all, or a profile from --config."
        ),
    ] = "all",
    findings: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Findings document (JSON) to use instead of an analysis.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Compute device: cpu, cuda, cuda:N, or auto (a GPU if available).")
    ] = "auto",
    tomosynthesis: Annotated[
        Literal["refuse", "middle", "max"],
        typer.Option(
            help="Frames used from a multi-frame image: refuse (none), middle, or max (up to 16)."
        ),
    ] = "refuse",
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings file with profiles of your own. Optional."),
    ] = None,
    pseudonyms: Annotated[
        bool,
        typer.Option(
            "--pseudonyms",
            help="Write pseudonyms for UIDs, Patient ID and Accession Number, and no names, dates "
            "or texts. By the key of the spool of --config, which stays there.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the result objects of a study to a folder, without network or services.

    Example: mammoclip-node render study/ --out results/ --profile workstation
    """
    from dicom_node.commands.render import DEFAULT_RESULTS, Model, render_study
    from dicom_node.commands.tables import rendered_table
    from dicom_node.destination_profiles import profile_named
    from dicom_node.spool.files.removal import reading

    with one_line_errors(), reading(study):
        settings = None if config is None else settings_of(config)
        if pseudonyms and settings is None:
            raise typer.BadParameter("--pseudonyms needs the key of a node: give --config")
        written = render_study(
            study,
            out,
            profile_named(profile, settings),
            model=Model(bundle=bundle, accept=accept, device=device, tomosynthesis=tomosynthesis),
            findings_file=findings,
            results=DEFAULT_RESULTS if settings is None else settings.results,
            pseudonyms=pseudonyms_of(settings) if pseudonyms and settings is not None else None,
        )
    document = {"objects": [asdict(one) for one in written]}
    if not emitted(document, as_json=as_json, json_out=None):
        print_table(rendered_table(written))


def validate(
    path: Annotated[
        Path, typer.Argument(exists=True, help="DICOM file, or folder with DICOM files.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Check result objects with built-in rules and every installed validator.

    Example: mammoclip-node validate results/

    Exit status: 0 if every check passed, 1 if any failed or no DICOM file was found.
    """
    from dicom_node.commands.tables import verdicts_table
    from dicom_node.commands.validate import validate_path
    from dicom_node.spool.files.removal import reading

    with one_line_errors(), reading(path):
        verdicts = validate_path(path)
    document = {"verdicts": [asdict(one) for one in verdicts]}
    if not emitted(document, as_json=as_json, json_out=None):
        print_table(verdicts_table(verdicts))
    if not verdicts or any(one.failed for one in verdicts):
        raise typer.Exit(1)
