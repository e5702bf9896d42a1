"""The demonstration weights, from nothing: ``make demo-weights``.

Each step leaves a file and is passed over when that is there, so the same command goes on after a
kill. The held-out seeds are looked at once, at the end.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mammoclip_core.bundles.demonstration import demonstration_bundle
from training.examples.demonstration.block_maps import write_block_maps
from training.examples.demonstration.plan import (
    GOING_ON_IMAGE_STEPS,
    GOING_ON_LOOKS,
    GOING_ON_PRETRAINING_STUDIES,
    GOING_ON_STUDIES,
    GOING_ON_WINDOW,
    GOING_ON_WINDOW_STEPS,
    HELD_OUT_STUDIES,
    STUDIES,
    VALIDATION_SEED,
    Plan,
)
from training.examples.demonstration.weight_judging import judged_bundle
from training.examples.demonstration.weight_making import (
    draw_images,
    finish_model,
    models_of,
    pretrain_model,
    say,
    trained_encoder,
)
from training.phantoms.family import Family


def make_weights(plan: Plan) -> Path:
    """Make everything that is not there yet; returns the finished bundle's folder."""
    for seed in (VALIDATION_SEED, plan.training_seed):
        draw_images(plan, seed)
    encoder = trained_encoder(plan)
    if not plan.learns_on:
        for seed in (plan.training_seed, VALIDATION_SEED):
            say(f"maps of seed {seed}")
            for number, folder in enumerate(plan.looks_of(seed)):
                write_block_maps(
                    encoder,
                    plan.images(seed),
                    folder,
                    look=plan.look,
                    number=number,
                    count=4 * plan.mapped_studies(seed),
                )
    for name in models_of(plan):
        pretrain_model(plan, name)
        finish_model(plan, name)
    return judged_bundle(plan)


def main(
    *,
    folder: Annotated[
        Path, typer.Option(help="Folder for everything that is made; created if missing.")
    ] = Path(".weights"),
    family: Annotated[
        Family,
        typer.Option(
            help="Phantoms to train on. varied: as the shipped weights, in changed noise, blur and "
            "tone. plain: easier, in one look."
        ),
    ] = Family.VARIED,
    window_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Batches of the lesson on windows. Default: 750, of varied phantoms 2800."
        ),
    ] = None,
    image_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batches of the lesson on whole images. Default: 450, of varied phantoms 300.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of pretraining.")] = 6,
    held_out_studies: Annotated[
        int, typer.Option(min=4, help="Number of studies of each held-out seed.")
    ] = HELD_OUT_STUDIES,
    image_weights: Annotated[
        str,
        typer.Option(
            help="Initial weights: a bundle's folder, whose encoder learns on, a file of "
            "EfficientNet-Lite0, or random. Default: those of its Python package; for varied "
            "phantoms, the bundle that comes along."
        ),
    ] = "",
    studies: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Number of phantom studies to train on. Default: 1088, of varied phantoms 2600.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that draw phantoms.")
    ] = 2,
    whole_encoder: Annotated[
        bool,
        typer.Option(
            "--whole-encoder",
            help="Let the whole encoder learn in pretraining, from images: four times as long in "
            "all. Default: its last convolution alone, from feature maps that are computed once.",
        ),
    ] = False,
    single_views: Annotated[
        bool,
        typer.Option(
            "--single-views",
            help="Pretrain a second model on single views, and tell of both in the model card: "
            "twice as long. Default: the paper's supervision alone.",
        ),
    ] = False,
) -> None:
    """Make the demonstration weights from nothing; prints the bundle's folder.

    Example: python -m training.examples.demonstration.make_weights --folder .weights
    """
    plan = Plan(
        folder=folder,
        image_weights=image_weights,
        studies=studies or STUDIES,
        processes=processes,
        epochs=epochs,
        held_out_studies=held_out_studies,
        family=family,
        learns_on=whole_encoder,
        has_twin=single_views,
    )
    if not plan.is_plain:
        plan = replace(
            plan,
            studies=studies or GOING_ON_STUDIES,
            image_weights=image_weights or str(demonstration_bundle()),
            window=GOING_ON_WINDOW,
            window_steps=GOING_ON_WINDOW_STEPS,
            image_steps=GOING_ON_IMAGE_STEPS,
            looks=GOING_ON_LOOKS,
            pretraining_studies=GOING_ON_PRETRAINING_STUDIES,
        )
    typer.echo(
        make_weights(
            replace(
                plan,
                window_steps=window_steps or plan.window_steps,
                image_steps=image_steps or plan.image_steps,
            )
        )
    )


if __name__ == "__main__":
    typer.run(main)
