"""The command that writes an image-text table from labels: captions."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import SeedOption, TableOption
from training.terminal import one_line_errors, say


@one_line_errors()
def captions(
    *,
    table: TableOption,
    mapping: Annotated[
        str,
        typer.Option(
            help="What the columns and words of --table mean: a TOML or YAML file, or cbis-ddsm, "
            "cmmd, embed, inbreast, omi-db, rsna or vindr."
        ),
    ],
    images: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder searched for the table's images."),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="CSV to write, for pretrain.")],
    seed: SeedOption = 10,
) -> None:
    """Write an image-text table whose sentences say a table's labels in the words of BI-RADS.

    Test patients are left out. Terms that the table does not give (shape, place) are drawn; those
    that it gives in words beyond the lexicon are left out, and counted.

    Example: mammoclip-train captions --table mass_case_description_train_set.csv
    --mapping cbis-ddsm --images CBIS-DDSM --out captions.csv
    """
    from training.data.table_mapping import read_mapping
    from training.preparation.structured_captions import write_captions

    written = write_captions(table, read_mapping(mapping), images, out, seed)
    for note in written.notes:
        say(f"{table.name}: {note}")
    say(
        f"{written.breasts} breasts; {written.silent} left out, of which the table says nothing "
        "that has a sentence"
    )
    typer.echo(out)
