"""The command that says reports again in other words: back-translate."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DeviceOption
from training.terminal import one_line_errors, progress, say


@one_line_errors()
def back_translate(
    table: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Image-text table.")],
    *,
    forward: Annotated[
        str, typer.Option(help="MarianMT model from the reports' language: a folder or a hub name.")
    ],
    backward: Annotated[
        str, typer.Option(help="MarianMT model back into it: a folder or a hub name.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Table that is written.")],
    beams: Annotated[int, typer.Option(min=1, help="Hypotheses that are followed.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences at once.")] = 32,
    device: DeviceOption = "cpu",
) -> None:
    """Back-translate the reports of an image-text table into its column text_augment.

    Reports stay on this machine: a model that is no folder is downloaded from the model hub, and
    nothing is sent there. A run that was stopped goes on where it was.

    Example: mammoclip-train back-translate prepared/image_text.csv
    --forward Helsinki-NLP/opus-mt-en-it --backward Helsinki-NLP/opus-mt-it-en
    --out prepared/image_text_augmented.csv
    """
    from training.back_translation.table_translation import BackTranslationOrder
    from training.back_translation.table_translation import back_translate as run

    order = BackTranslationOrder(
        table=table,
        forward=forward,
        backward=backward,
        out=out,
        beams=beams,
        batch_size=batch_size,
        device=device,
    )
    outcome = run(order, progress)
    for line in outcome.summary():
        say(line)
    typer.echo(out)
