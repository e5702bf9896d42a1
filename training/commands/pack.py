"""The command that puts prepared pictures into one array: pack."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import SkipUnreadableOption
from training.terminal import one_line_errors, progress, say


@one_line_errors()
def pack(
    source: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="Folder of prepared pictures.")
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            file_okay=False, help="Folder of the array, for pretrain in place of the pictures."
        ),
    ],
    rows: Annotated[
        int, typer.Option(min=32, max=8192, help="Height of the model's input in pixels.")
    ] = 1520,
    columns: Annotated[
        int, typer.Option(min=32, max=8192, help="Width of the model's input in pixels.")
    ] = 912,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that work in parallel.")
    ] = 1,
    skip_unreadable: SkipUnreadableOption = False,
) -> None:
    """Put prepared pictures into one array of uint8, which pretrain reads without decoding.

    A picture of 1520 x 912 takes 1.4 MB. A run that was stopped continues where it was.

    Example: mammoclip-train pack prepared/png --out prepared/array --processes 8
    """
    from training.preparation.picture_array import PackOrder, pack_pictures

    order = PackOrder(
        source=source,
        out=out,
        size=(rows, columns),
        processes=processes,
        skip_unreadable=skip_unreadable,
    )
    count = pack_pictures(order, progress, say)
    say(f"{count} pictures")
    typer.echo(out)
