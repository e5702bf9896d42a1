"""The demonstration weights, from nothing: ``make demo-weights``.

Each step leaves a file and is passed over when that is there, so the same command goes on after a
kill. What is chosen, is chosen on the validation seed; the held-out seed is looked at once, at the
end.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import torch
import typer

from mammoclip_core.bundles.demonstration import demonstration_bundle
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
from training.examples.demonstration.dense_training import DenseSupervision, train_on_cells
from training.examples.demonstration.export import VERSION, export_bundle, read_pretraining
from training.examples.demonstration.finishing import CARD_NAME, finish_bundle, write_card
from training.examples.demonstration.first_weights import (
    first_encoder,
    first_weights_in_words,
    is_bundle,
)
from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.localisation_choice import keep_the_better
from training.examples.demonstration.model_card import (
    DATA,
    figures_of,
    words_of,
)
from training.examples.demonstration.phantom_images import TRUTH_NAME, prepare_phantoms, read_truth
from training.examples.demonstration.plan import (
    CHOICE_SEEDS,
    GOING_ON_IMAGE_STEPS,
    GOING_ON_STUDIES,
    GOING_ON_WINDOW,
    GOING_ON_WINDOW_STEPS,
    HELD_OUT_SEED,
    HELD_OUT_STUDIES,
    STUDIES,
    TRAINING_SEED,
    VALIDATION_SEED,
    Plan,
)
from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.factor.feature_maps import FeatureMaps
from training.phantoms.family import Family
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.pretraining_run import FINISHED, pretrain
from training.whole_file import whole_file

_VERSIONS: Final = {True: VERSION, False: "2.1.0-phantoms"}
"""Of weights that know plain phantoms alone, and of others."""

ENCODER_NAME: Final = "encoder.pt"
FINISHED_BUNDLE: Final = "demonstration_bundle"
MULTI_VIEW: Final = "multi-view"
SINGLE_VIEW: Final = "single-view"
_SINGLE_VIEW_WEIGHTS: Final = (
    "{image_text: 1.0, image_image: 0.0, text_text: 0.0, across_views: false}"
)
_FIRST_RATE: Final = 1e-3
_GOING_ON_RATE: Final = 4e-4
_WHOLE_IMAGE_RATE: Final = 3e-4
_LEARNING_ON: Final = (
    *("--model.image_learning_rate", "1.0e-4"),
    *("--model.chunk_size", "4"),
    *("--checkpoint_steps", "10"),
)
"""Settings of pretraining in which the whole encoder learns: slowly, from images."""

_OTHER_LOOKS: Final = ("--data.settings.other_looks", "true")


def make_weights(plan: Plan) -> Path:
    """Make everything that is not there yet; returns the finished bundle's folder."""
    for seed in (VALIDATION_SEED, TRAINING_SEED):
        _draw(plan, seed)
    encoder = _trained_encoder(plan)
    if not plan.learns_on:
        for seed in (TRAINING_SEED, VALIDATION_SEED):
            _say(f"maps of seed {seed}")
            for number, folder in enumerate(plan.looks_of(seed)):
                write_block_maps(encoder, plan.images(seed), folder, look=plan.look, number=number)
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


def _trained_encoder(plan: Plan) -> ImageEncoder:
    """Train on windows, then on whole images."""
    path = plan.folder / ENCODER_NAME
    encoder = first_encoder("random" if path.is_file() else plan.image_weights)
    if path.is_file():
        encoder.backbone.load_state_dict(torch.load(path, weights_only=True))
        return encoder
    goes_on = is_bundle(plan.image_weights)
    module = DenseSupervision(
        encoder, goes_on=goes_on, learning_rate=_GOING_ON_RATE if goes_on else _FIRST_RATE
    )
    _say("dense supervision on windows")
    train_on_cells(
        module,
        plan.samples(plan.window),
        plan.folder / "dense-windows",
        steps=plan.window_steps,
        batch_size=plan.window_batch,
    )
    _say("dense supervision on whole images")
    module.learning_rate = _WHOLE_IMAGE_RATE
    train_on_cells(
        module,
        plan.samples(plan.size, repeats=1),
        plan.folder / "dense-images",
        steps=plan.image_steps,
        batch_size=plan.image_batch,
    )
    with whole_file(path) as stream:
        torch.save(encoder.backbone.state_dict(), stream)
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
        f"{{seed: {seed}, studies: {plan.studies_of(seed)}, images: {images}, "
        f"fold: {fold}, family: {plan.family}, look: {look}}}"
        for fold, seed in enumerate((TRAINING_SEED, VALIDATION_SEED))
        for look, images in enumerate(
            (plan.images(seed),) if plan.learns_on else plan.looks_of(seed)
        )
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
            *(_OTHER_LOOKS if plan.learns_on and not plan.is_plain else ()),
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
        export_bundle(module, plain, version=_VERSIONS[plan.is_plain])
    maps = {seed: _known_maps(plan, plain, seed, name) for seed in (TRAINING_SEED, VALIDATION_SEED)}
    _say(f"Mammo-FActOR and calibration, {name}")
    finish_bundle(
        plain,
        out,
        training=(maps[TRAINING_SEED], read_truth(plan.images(TRAINING_SEED))),
        validation=(maps[VALIDATION_SEED], read_truth(plan.images(VALIDATION_SEED))),
        validation_name=f"{4 * plan.validation_studies} phantoms of seed {VALIDATION_SEED}",
    )


def _kept(plan: Plan) -> Path:
    """Leave each finding the way of localising that points better on some further seeds."""
    out, both = plan.folder / FINISHED_BUNDLE, _bundle(plan, MULTI_VIEW)
    if not out.is_dir():
        answers = []
        for seed in CHOICE_SEEDS:
            _say(f"ways of localising, seed {seed}")
            _draw(plan, seed)
            maps = _held_out_maps(plan, both, seed, MULTI_VIEW)
            answers.append(answers_of(both, maps, read_truth(plan.images(seed))))
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
    seeds = held_out_seeds_of(plan)
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
                answers_of(own, _held_out_maps(plan, own, seed, name), truth), setting, data
            )
        figures += blob_rows(seed, truth, data=data, family=plan.family, processes=plan.processes)
    first, began = first_weights_in_words(plan.image_weights)
    write_card(
        bundle,
        figures,
        {
            "command": "python -m training.examples.demonstration.make_weights"
            + ("" if plan.is_plain else f" --family {plan.family}")
            + (f" --image-weights {first}" if first else "")
            + (" --whole-encoder" if plan.learns_on else ""),
            "image encoder began with": began,
            "learned from": f"{plan.studies} studies, seed {TRAINING_SEED}, {plan.family} phantoms",
            "chosen and calibrated on": f"{plan.validation_studies} studies, "
            f"seed {VALIDATION_SEED}",
            "ways of localising chosen on": f"{plan.choice_studies} studies of each of the seeds "
            f"{', '.join(map(str, CHOICE_SEEDS))}",
            "measured on": f"{images} images, "
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
            "dense supervision on windows": f"{plan.window_steps} batches of {plan.window_batch}, "
            f"{plan.window[0]} x {plan.window[1]}",
            "dense supervision on images": f"{plan.image_steps} batches of {plan.image_batch}",
            "pretraining": f"{plan.epochs} epochs, "
            + ("the whole encoder" if plan.learns_on else "the encoder's last convolution"),
        },
        plan.folder,
        words=words_of(is_plain=plan.is_plain, learns_on=plan.learns_on),
    )
    return bundle


def held_out_seeds_of(plan: Plan) -> tuple[int, ...]:
    """Return the seeds of the phantoms that the finished bundle is judged by."""
    if plan.is_plain:
        return (HELD_OUT_SEED,)
    return held_out_seeds(read_manifest(plan.folder / FINISHED_BUNDLE).weights_sha256)


def _known_maps(plan: Plan, bundle: Path, seed: int, name: str) -> Path:
    """Return the folder of the maps of images that were learned or chosen from."""
    if not plan.learns_on:
        return plan.looks_of(seed)[0]
    _say(f"maps of seed {seed}, {name}")
    encoder, _ = read_image_encoder(bundle)
    write_block_maps(encoder, plan.images(seed), plan.maps(seed, name), look=plan.look)
    return plan.maps(seed, name)


def _held_out_maps(plan: Plan, bundle: Path, seed: int, name: str) -> FeatureMaps:
    """Compute the maps of a seed's images by a bundle's own encoder, or take what lies there."""
    has_own = plan.learns_on or name == "random"
    folder = plan.maps(seed, name if has_own else "")
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
            help="Phantoms to train on. varied: as the shipped weights, in changed noise, blur and "
            "tone. plain: easier, in one look."
        ),
    ] = Family.VARIED,
    window_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Batches of the lesson on windows. Default: 750, of varied phantoms 3600."
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
            help="Number of phantom studies to train on. Default: 1088, of varied phantoms 1600.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that draw phantoms.")
    ] = 2,
    whole_encoder: Annotated[
        bool,
        typer.Option(
            "--whole-encoder",
            help="Let the whole encoder learn in pretraining, from images: six times slower. "
            "Default: its last convolution alone, from feature maps that are computed once.",
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
    )
    if not plan.is_plain:
        plan = replace(
            plan,
            studies=studies or GOING_ON_STUDIES,
            image_weights=image_weights or str(demonstration_bundle()),
            window=GOING_ON_WINDOW,
            window_steps=GOING_ON_WINDOW_STEPS,
            image_steps=GOING_ON_IMAGE_STEPS,
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
