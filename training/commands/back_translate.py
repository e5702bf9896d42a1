"""The command that says reports again in other words: back-translate."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DeviceOption
from training.terminal import one_line_errors, progress, say


@one_line_errors()
def back_translate(
    table: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: image-text table.")
    ],
    *,
    forward: Annotated[
        str,
        typer.Option(help="MarianMT model out of the reports' language: folder or model hub name."),
    ],
    backward: Annotated[
        str,
        typer.Option(
            help="MarianMT model back into the reports' language: folder or model hub name."
        ),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="CSV file to write.")],
    beams: Annotated[int, typer.Option(min=1, help="Beam search width.")] = 5,
    batch_size: Annotated[int, typer.Option(min=1, help="Sentences in a batch.")] = 32,
    device: DeviceOption = "cpu",
) -> None:
    """Paraphrase the reports of an image-text table by translating them there and back.

    The result is written to the column text_augment, which `pretrain` reads. Reports stay on this
    machine: a model given by name is downloaded from the model hub, and nothing is sent there. A
    run that was stopped continues where it was.

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
