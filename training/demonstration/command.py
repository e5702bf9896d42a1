"""``python -m training.demonstration.command``: the demonstration weights, from nothing.

Each step leaves a file and is passed over when that is there, so the same command goes on after a
kill.
"""

from pathlib import Path
from typing import Annotated

import typer

from training.demonstration.images import TRUTH_NAME, prepare_phantoms
from training.demonstration.vocabulary import write_trained_tokenizer
from training.demonstration.windows import cut_windows
from training.pretraining.command import FINISHED, pretrain

SIZE = (760, 456)
WINDOW = (380, 228)
TRAINING_SEED = 101


def main(
    *,
    folder: Annotated[Path, typer.Option(help="Where all of it is kept.")] = Path(".weights"),
    image_weights: Annotated[
        str, typer.Option(help="imagenet (fetched by timm), random, or a file.")
    ] = "imagenet",
    studies: Annotated[int, typer.Option(min=8, help="Phantom studies to learn from.")] = 1500,
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    window_epochs: Annotated[int, typer.Option(min=1, help="Epochs on windows.")] = 10,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs on whole images.")] = 4,
) -> None:
    """Draw phantoms, train the tokenizer, then pretrain on windows and on whole images.

    Example: python -m training.demonstration.command --folder .weights
    """
    images, windows = folder / f"images-{TRAINING_SEED}", folder / f"windows-{TRAINING_SEED}"
    tokenizer = folder / "tokenizer"
    if not (images / TRUTH_NAME).is_file():
        typer.echo("drawing phantoms", err=True)
        prepare_phantoms(TRAINING_SEED, studies, SIZE, images, processes=processes)
    if not (windows / TRUTH_NAME).is_file():
        cut_windows(images, windows, WINDOW, TRAINING_SEED)
    if not (tokenizer / "vocab.txt").is_file():
        write_trained_tokenizer(tokenizer, attention_heads=2, hidden_size=128)
    common = [
        "--config",
        "demonstration",
        "--model.network.tokenizer",
        str(tokenizer),
        "--model.network.image_weights",
        image_weights,
    ]
    first = folder / "on-windows"
    if not (first / "checkpoints" / FINISHED).is_file():
        typer.echo("pretraining on windows", err=True)
        pretrain(
            [
                *common,
                *("--out", str(first)),
                *("--model.network.rows", str(WINDOW[0])),
                *("--model.network.columns", str(WINDOW[1])),
                *("--data.settings.batch_size", "16"),
                *("--data.settings.phantoms", _set(studies, windows, are_windows=True)),
                *("--trainer.max_epochs", str(window_epochs)),
            ]
        )
    second = folder / "on-images"
    if not (second / "checkpoints" / FINISHED).is_file():
        typer.echo("pretraining on whole images", err=True)
        pretrain(
            [
                *common,
                *("--out", str(second)),
                *("--model.start", str(first / "checkpoints" / FINISHED)),
                *("--data.settings.phantoms", _set(studies, images, are_windows=False)),
                *("--model.image_learning_rate", "2e-4"),
                *("--trainer.max_epochs", str(epochs)),
            ]
        )


def _set(studies: int, images: Path, *, are_windows: bool) -> str:
    words = str(are_windows).lower()
    return (
        f"[{{seed: {TRAINING_SEED}, studies: {studies}, images: {images}, are_windows: {words}}}]"
    )


if __name__ == "__main__":
    typer.run(main)
