"""Ways of pretraining side by side, in minutes: from maps of the encoder's blocks.

A folder that `make_weights` made holds them. What differs between two models is what pretraining
teaches the last convolution, the projections and the text encoder.
"""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer

from mammoclip_core.file_digest import file_sha256
from training.data.augmentation import PLAIN
from training.data.data_facts import contents_sha256
from training.data.image_source import MAPS_NAME, NAMES_NAME, ImageArray, MapArray
from training.errors import SettingsError
from training.evaluation.comparison_runs import Runs, compare_runs, ways_of
from training.evaluation.comparison_table import Figures
from training.examples.demonstration.answers import CLASS_ACTIVATION, Answers, Way, answers_of
from training.examples.demonstration.block_map_pretraining import (
    CONFIGURATION,
    BlockMapPretraining,
    PhantomData,
)
from training.examples.demonstration.export import export_bundle, read_pretraining
from training.examples.demonstration.finishing import maps_of
from training.examples.demonstration.phantom_images import TRUTH_NAME, read_truth
from training.examples.demonstration.phantom_records import phantom_records
from training.examples.demonstration.plan import VALIDATION_SEED, Plan
from training.examples.demonstration.weight_judging import held_out_seeds_of
from training.examples.demonstration.weight_making import ENCODER_NAME
from training.factor.feature_maps import FACTS_NAME
from training.factor.localisation import pointing_hits
from training.measures.score_measures import accuracy, auroc
from training.phantoms.family import Family
from training.pretraining.batches import BreastSamples
from training.pretraining.data_module import collate_for
from training.pretraining.label_loss import FINDINGS, PROMPTS
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.pretraining_run import FINISHED, pretrain
from training.pretraining.validation_figures import ValidationFigures
from training.terminal import one_line_errors, say

DEFAULT_SETTINGS: Final = "--model.label_weight 0 --model.multi_view_weight 1"
"""The paper's loss alone: by the labels' own loss all ways learn what they are judged by."""

DEFAULT_WAYS: Final = (
    "single-views=--model.weights "
    "'{image_text: 1.0, image_image: 0.0, text_text: 0.0, across_views: false}'",
)
_VALIDATION_STUDIES: Final = 8
"""Pretraining asks for a held-out fold; the last epoch is judged, whatever that fold says."""

_RETRIEVAL_STUDIES: Final = 100
_RETRIEVAL_BATCH: Final = 20
_IMAGES_OF_A_STUDY: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What all models learn from and are judged by.

    Attributes
    ----------
    plan : of a folder that `make_weights` made
    studies : the first ones of the training seed
    settings : arguments of ``pretrain`` that all models have
    judged_by : seed of other phantoms, whose images and maps lie in the folder
    """

    plan: Plan
    studies: int
    epochs: int
    settings: str
    judged_by: int

    def facts(self) -> dict[str, str]:
        """Return what two models that are compared must have in common."""
        return {
            "maps": contents_sha256([maps / FACTS_NAME for maps in self.maps()]),
            "lesions": file_sha256(self.plan.images(self.judged_by) / TRUTH_NAME),
            "weights": file_sha256(self.plan.folder / ENCODER_NAME),
            "tokenizer": file_sha256(self.tokenizer / "vocab.txt"),
            "studies": str(self.studies),
            "epochs": str(self.epochs),
            "settings": self.settings,
            "judged by": str(self.judged_by),
        }

    @property
    def tokenizer(self) -> Path:
        """Return the folder of the tokenizer."""
        return self.plan.folder / "tokenizer"

    def maps(self) -> tuple[Path, Path, Path]:
        """Return the folders of the maps that are learnt from, validated on and judged by."""
        learnt, validation = (
            self.plan.looks_of(seed)[0] for seed in (self.plan.training_seed, VALIDATION_SEED)
        )
        return learnt, validation, self.plan.maps(self.judged_by)

    def require_maps(self) -> None:
        """Refuse a folder without the maps that are learnt from and judged by."""
        learnt, *_ = self.maps()
        for folder in self.maps():
            if not (folder / MAPS_NAME).is_file():
                raise SettingsError(
                    f"{folder} holds no maps: run make_weights to its end with --folder "
                    f"{self.plan.folder}, or give another --family or --judged-by"
                )
        if _studies_in(learnt) < self.studies:
            raise SettingsError(
                f"{learnt} holds {_studies_in(learnt)} studies, fewer than --studies {self.studies}"
            )


def judged(lesson: Lesson, arguments: str, seed: int, folder: Path) -> Figures:
    """Pretrain one model, and judge it; a bundle of it stays in the folder."""
    out, bundle = folder / "pretraining", folder / "bundle"
    pretrain(_arguments(lesson, arguments, seed, out), BlockMapPretraining, PhantomData)
    module = read_pretraining(out / "checkpoints" / FINISHED, BlockMapPretraining)
    if not bundle.is_dir():
        export_bundle(module, bundle, name="compared")
    maps, images = (where(lesson.judged_by) for where in (lesson.plan.maps, lesson.plan.images))
    answers = answers_of(bundle, maps_of(maps), read_truth(images))
    return figures_of(answers) | _retrieval_figures(lesson, module)


def _arguments(lesson: Lesson, arguments: str, seed: int, out: Path) -> list[str]:
    plan = lesson.plan
    sets = [
        {
            "seed": drawn,
            "studies": min(studies, _studies_in(plan.looks_of(drawn)[0])),
            "images": str(plan.looks_of(drawn)[0]),
            "fold": fold,
            "family": plan.family.value,
        }
        for fold, (drawn, studies) in enumerate(
            ((plan.training_seed, lesson.studies), (VALIDATION_SEED, _VALIDATION_STUDIES))
        )
    ]
    rows, columns = plan.size
    return [
        *("--config", str(CONFIGURATION), "--out", str(out)),
        *("--model.network.tokenizer", str(lesson.tokenizer)),
        *("--model.network.image_weights", str(plan.folder / ENCODER_NAME)),
        *("--model.network.rows", str(rows), "--model.network.columns", str(columns)),
        *("--data.settings.phantoms", json.dumps(sets)),
        *("--trainer.max_epochs", str(lesson.epochs)),
        *("--model.channels_last", "false"),  # a pointwise convolution is faster without
        *("--seed_everything", str(seed), "--data.settings.seed", str(seed)),
        *shlex.split(lesson.settings),
        *shlex.split(arguments),
    ]


def _studies_in(maps: Path) -> int:
    return len(json.loads((maps / NAMES_NAME).read_text(encoding="utf-8"))) // _IMAGES_OF_A_STUDY


def figures_of(answers: Answers) -> Figures:
    """Measure what a model says by its prompts, and where: the means over findings come first."""
    names = [entry.name for _, entry in FINDINGS]
    found = {name: auroc(answers.labels[name], answers.scores[name]) for name in names}
    pointed = {
        name: _share(pointing_hits(answers.localised[Way(CLASS_ACTIVATION, name)])[0])
        for name in names
    }
    figures = {
        "findings, mean AUROC": float(np.mean(list(found.values()))),
        "findings, mean pointing game": float(np.mean(list(pointed.values()))),
    }
    for name in names:
        words = name.replace("_", " ")
        figures[f"{words}, AUROC"] = found[name]
        figures[f"{words}, pointing game"] = pointed[name]
    figures["density, accuracy"] = accuracy(answers.density, answers.said_density)
    return figures


def _share(hits: Sequence[bool]) -> float:
    return float(np.mean(hits)) if hits else math.nan


@torch.inference_mode()
def _retrieval_figures(lesson: Lesson, module: Pretraining) -> Figures:
    """Ask an image of each breast for its report, among those of all breasts that are asked."""
    maps = lesson.plan.maps(lesson.judged_by)
    studies = min(_RETRIEVAL_STUDIES, _studies_in(maps))
    records = phantom_records(lesson.judged_by, studies, family=lesson.plan.family)
    samples = BreastSamples(records, MapArray(maps), PLAIN, seed=0)
    collate = collate_for(module)
    found = ValidationFigures()
    for start in range(0, len(records), _RETRIEVAL_BATCH):
        places = range(start, min(start + _RETRIEVAL_BATCH, len(records)))
        batch = collate([samples[0, place] for place in places])
        first, second, texts, *_ = module(batch)
        found.add((first, second), texts, batch.labels)
    told = found.figures(module.model.encode_text(module.tokenizer(list(PROMPTS))))
    return {
        f"report among {len(records)}, mean rank (1 is best)": told["retrieval_mean_rank"],
        f"report among {len(records)}, first": told["retrieval_recall_at_1"],
    }


@one_line_errors()
def main(
    *,
    way: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=ARGUMENTS: a way of pretraining, by further arguments of pretrain; may be "
            "repeated. Each is held against the baseline, which has none. Default: single views, "
            "where an image stands beside its own report alone."
        ),
    ] = None,
    folder: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="Folder that make_weights made."),
    ] = Path(".weights"),
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")],
    family: Annotated[
        Family, typer.Option(help="Family of the phantoms that lie there.")
    ] = Family.VARIED,
    studies: Annotated[
        int, typer.Option(min=8, help="Training studies to learn from, the first ones.")
    ] = 400,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of pretraining.")] = 4,
    seeds: Annotated[
        int, typer.Option(min=1, help="Models trained in each way; an interval needs two.")
    ] = 3,
    judged_by: Annotated[
        int | None,
        typer.Option(
            help="Seed of the phantoms that models are judged by. Default: the first held-out one."
        ),
    ] = None,
    settings: Annotated[
        str,
        typer.Option(
            help="Arguments of pretrain that all ways have. Default: the paper's loss alone, "
            "without the demonstration's loss on labels."
        ),
    ] = DEFAULT_SETTINGS,
) -> None:
    """Pretrain in several ways from the maps of make_weights, and say by how much each differs.

    Writes comparison.md and comparison.json into --out. A killed run goes on by the same command.

    Example: python -m training.examples.demonstration.compare_pretraining --out compared
    """
    try:
        ways = ways_of(DEFAULT_WAYS if way is None else way)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--way") from error
    plan = Plan(folder=folder, family=family)
    seed = held_out_seeds_of(plan)[0] if judged_by is None else judged_by
    lesson = Lesson(plan=plan, studies=studies, epochs=epochs, settings=settings, judged_by=seed)
    lesson.require_maps()
    lesson = replace(lesson, plan=replace(plan, size=ImageArray(plan.images(seed)).size))
    compare_runs(
        Runs(ways=ways, seeds=seeds, out=out, facts=lesson.facts(), say=say),
        partial(judged, lesson),
        {
            "pretrained on": f"{studies} {family.value} phantom studies of seed "
            f"{plan.training_seed}, {epochs} epochs, the encoder's last convolution",
            "judged by": f"{len(read_truth(plan.images(seed)))} images of seed {seed}, by prompts "
            "and class activation",
            "settings": settings,
        },
    )
    typer.echo(out / "comparison.md")


if __name__ == "__main__":
    typer.run(main)
