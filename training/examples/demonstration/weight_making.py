"""The parts of making demonstration weights: phantoms, encoder, pretraining, a finished bundle."""

from pathlib import Path
from typing import Final

import torch
import typer

from mammoclip_core.networks.image_encoder import ImageEncoder
from training.bundles.bundle_encoder import read_image_encoder
from training.examples.demonstration.block_map_pretraining import (
    CONFIGURATION,
    BlockMapPretraining,
    PhantomData,
)
from training.examples.demonstration.block_maps import write_block_maps
from training.examples.demonstration.dense_training import DenseSupervision, train_on_cells
from training.examples.demonstration.export import VERSION, export_bundle, read_pretraining
from training.examples.demonstration.finishing import finish_bundle
from training.examples.demonstration.first_weights import (
    first_encoder,
    is_bundle,
)
from training.examples.demonstration.phantom_images import TRUTH_NAME, prepare_phantoms, read_truth
from training.examples.demonstration.plan import (
    VALIDATION_SEED,
    Plan,
)
from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.factor.feature_maps import FeatureMaps
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.pretraining_run import FINISHED, pretrain
from training.whole_file import whole_file

_VERSIONS: Final = {True: VERSION, False: "2.2.0-phantoms"}
"""Of weights that know plain phantoms alone, and of others."""

ENCODER_NAME: Final = "encoder.pt"
FINISHED_BUNDLE: Final = "demonstration_bundle"
MULTI_VIEW: Final = "multi-view"
SINGLE_VIEW: Final = "single-view"
_SUPERVISION: Final[dict[str, tuple[str, ...]]] = {
    MULTI_VIEW: (),
    SINGLE_VIEW: (
        "--model.weights",
        "{image_text: 1.0, image_image: 0.0, text_text: 0.0, across_views: false}",
    ),
}
IN_WORDS: Final = {MULTI_VIEW: "multi-view supervision", SINGLE_VIEW: "single views"}
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


def models_of(plan: Plan) -> tuple[str, ...]:
    """Return the models that are pretrained; the first is the one that is shipped."""
    return (MULTI_VIEW, SINGLE_VIEW) if plan.has_twin else (MULTI_VIEW,)


def draw_images(plan: Plan, seed: int) -> None:
    """Draw the phantoms of a seed into its folder."""
    if not (plan.images(seed) / TRUTH_NAME).is_file():
        say(f"drawing phantoms of seed {seed}")
        prepare_phantoms(
            seed,
            plan.studies_of(seed),
            plan.size,
            plan.images(seed),
            family=plan.family,
            processes=plan.processes,
        )


def trained_encoder(plan: Plan) -> ImageEncoder:
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
    say("dense supervision on windows")
    train_on_cells(
        module,
        plan.samples(plan.window),
        plan.folder / "dense-windows",
        steps=plan.window_steps,
        batch_size=plan.window_batch,
    )
    say("dense supervision on whole images")
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


def pretrain_model(plan: Plan, name: str) -> None:
    """Pretrain one of the models from the encoder and what it was trained with."""
    tokenizer = plan.folder / "tokenizer"
    if not (tokenizer / "vocab.txt").is_file():
        write_trained_tokenizer(tokenizer, attention_heads=2, hidden_size=128)
    out = plan.folder / name
    if (out / "checkpoints" / FINISHED).is_file():
        return
    say(f"pretraining, {name}")
    sets = ", ".join(
        f"{{seed: {seed}, studies: {plan.mapped_studies(seed)}, images: {images}, "
        f"fold: {fold}, family: {plan.family}, look: {look}}}"
        for fold, seed in enumerate((plan.training_seed, VALIDATION_SEED))
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
            *_SUPERVISION[name],
            *(_LEARNING_ON if plan.learns_on else ()),
            *(_OTHER_LOOKS if plan.learns_on and not plan.is_plain else ()),
        ],
        Pretraining if plan.learns_on else BlockMapPretraining,
        PhantomData,
    )


def bundle_of(plan: Plan, name: str) -> Path:
    """Return the folder of a model's bundle, which localises in both ways."""
    return plan.folder / f"bundle-{name}"


def finish_model(plan: Plan, name: str) -> None:
    """Export a model, fit Mammo-FActOR on training and calibration on validation images."""
    out = bundle_of(plan, name)
    if out.is_dir():
        return
    plain = plan.folder / name / "bundle"
    if not plain.is_dir():
        module = read_pretraining(plan.folder / name / "checkpoints" / FINISHED)
        export_bundle(module, plain, version=_VERSIONS[plan.is_plain])
    maps = {
        seed: known_maps(plan, plain, seed, name) for seed in (plan.training_seed, VALIDATION_SEED)
    }
    truth = {seed: read_truth(plan.images(seed))[: 4 * plan.mapped_studies(seed)] for seed in maps}
    say(f"Mammo-FActOR and calibration, {name}")
    finish_bundle(
        plain,
        out,
        training=(maps[plan.training_seed], truth[plan.training_seed]),
        validation=(maps[VALIDATION_SEED], truth[VALIDATION_SEED]),
        validation_name=f"{4 * plan.validation_studies} phantoms of seed {VALIDATION_SEED}",
    )


def known_maps(plan: Plan, bundle: Path, seed: int, name: str) -> Path:
    """Return the folder of the maps of images that were learned or chosen from."""
    if not plan.learns_on:
        return plan.looks_of(seed)[0]
    say(f"maps of seed {seed}, {name}")
    encoder, _ = read_image_encoder(bundle)
    write_block_maps(encoder, plan.images(seed), plan.maps(seed, name), look=plan.look)
    return plan.maps(seed, name)


def held_out_maps(plan: Plan, bundle: Path, seed: int, name: str) -> FeatureMaps:
    """Compute the maps of a seed's images by a bundle's own encoder, or take what lies there."""
    has_own = plan.learns_on or name == "random"
    folder = plan.maps(seed, name if has_own else "")
    return write_block_maps(read_image_encoder(bundle)[0], plan.images(seed), folder)


def say(words: str) -> None:
    """Tell the user what is being done."""
    typer.echo(words, err=True)
