"""What is chosen and judged by phantoms that demonstration weights did not learn from."""

from pathlib import Path

import torch

from mammoclip_core.manifest import read_manifest
from training.examples.demonstration.answers import answers_of
from training.examples.demonstration.blob_figures import blob_rows
from training.examples.demonstration.export import export_bundle, read_pretraining
from training.examples.demonstration.finishing import CARD_NAME, write_card
from training.examples.demonstration.first_weights import (
    first_weights_in_words,
)
from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.localisation_choice import keep_the_better
from training.examples.demonstration.model_card import (
    DATA,
    figures_of,
    words_of,
)
from training.examples.demonstration.phantom_images import read_truth
from training.examples.demonstration.plan import (
    CHOICE_SEEDS,
    HELD_OUT_SEED,
    VALIDATION_SEED,
    Plan,
)
from training.examples.demonstration.weight_making import (
    FINISHED_BUNDLE,
    IN_WORDS,
    MULTI_VIEW,
    bundle_of,
    draw_images,
    held_out_maps,
    models_of,
    say,
)
from training.pretraining.pretraining_run import FINISHED


def kept_bundle(plan: Plan) -> Path:
    """Leave each finding the way of localising that points better on some further seeds."""
    out, both = plan.folder / FINISHED_BUNDLE, bundle_of(plan, MULTI_VIEW)
    if not out.is_dir():
        answers = []
        for seed in CHOICE_SEEDS:
            say(f"ways of localising, seed {seed}")
            draw_images(plan, seed)
            maps = held_out_maps(plan, both, seed, MULTI_VIEW)
            answers.append(answers_of(both, maps, read_truth(plan.images(seed))))
        keep_the_better(both, answers, out)
    return out


def judged_bundle(plan: Plan) -> Path:
    """Look at the held-out seed, and write the model card."""
    bundle = kept_bundle(plan)
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
        say(f"held-out images, seed {seed}")
        draw_images(plan, seed)
        truth = read_truth(plan.images(seed))
        images += len(truth)
        data = DATA if len(seeds) == 1 else f"{plan.family} phantoms of seed {seed},"
        for own, name, setting in (
            *((bundle_of(plan, name), name, IN_WORDS[name]) for name in models_of(plan)),
            (random, "random", "random weights"),
        ):
            figures += figures_of(
                answers_of(own, held_out_maps(plan, own, seed, name), truth), setting, data
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
            + (" --whole-encoder" if plan.learns_on else "")
            + (" --single-views" if plan.has_twin else ""),
            "image encoder began with": began,
            "learned from": f"{plan.studies} studies, seed {plan.training_seed}, "
            f"{plan.family} phantoms",
            "chosen and calibrated on": f"{plan.validation_studies} studies, "
            f"seed {VALIDATION_SEED}",
            "ways of localising chosen on": f"{plan.choice_studies} studies of each of the seeds "
            f"{', '.join(map(str, CHOICE_SEEDS))}",
            "measured on": f"{images} images, "
            f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
            "dense supervision on windows": f"{plan.window_steps} batches of {plan.window_batch}, "
            f"{plan.window[0]} x {plan.window[1]}",
            "dense supervision on images": f"{plan.image_steps} batches of {plan.image_batch}",
            "pretraining": f"{plan.epochs} epochs of the first "
            f"{plan.mapped_studies(plan.training_seed)} of these studies, "
            + ("the whole encoder" if plan.learns_on else "the encoder's last convolution"),
        },
        plan.folder,
        words=words_of(plan),
    )
    return bundle


def held_out_seeds_of(plan: Plan) -> tuple[int, ...]:
    """Return the seeds of the phantoms that the finished bundle is judged by."""
    if plan.is_plain:
        return (HELD_OUT_SEED,)
    return held_out_seeds(read_manifest(plan.folder / FINISHED_BUNDLE).weights_sha256)
