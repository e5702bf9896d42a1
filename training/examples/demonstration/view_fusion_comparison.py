"""Heads that see several views at once, against scores of single images that are aggregated.

All learn on the same frozen features of phantoms, and are judged by the same studies.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from training.bundles.bundle_encoder import read_image_encoder
from training.downstream.fitting import head_loss, shares_of, shuffled
from training.downstream.view_fusion import ConcatenatedViews, Fusion, GatedViews
from training.evaluation.comparison_table import (
    Comparison,
    Difference,
    Figures,
    write_comparison,
)
from training.examples.demonstration.plan import TRAINING_SEED, VALIDATION_SEED, Plan
from training.examples.demonstration.view_studies import (
    DENSITY,
    OUTPUTS,
    VIEWS,
    Studies,
    Unit,
    gathered,
    read_studies,
)
from training.learning.schedule import learning_rate_factor
from training.measures.intervals import bootstrap
from training.measures.score_measures import accuracy, auroc
from training.phantoms.family import Family
from training.whole_file import whole_file, write_whole

RATES: Final = (1e-4, 5e-4, 2e-3)
EPOCHS: Final = 30
BATCH_IMAGES: Final = 64
WEIGHT_DECAY: Final = 1e-2
AGGREGATED: Final = "aggregated"
NEW: Final = "new to the encoder"
KNOWN: Final = "that the encoder learnt from"
STUDIES: Final = {NEW: (50, 100, 200), KNOWN: (100, 400)}
"""How many training studies are tried."""

_REPEATS: Final = 200

Scores = NDArray[np.float64]
Aggregation = Callable[[Scores], Scores]
"""From the scores of each unit's images, (U, V, outputs), to one of each unit, (U, outputs)."""


def _highest_of_breast_means(scores: Scores) -> Scores:
    means: Scores = scores.reshape(len(scores), 2, 2, -1).mean(axis=2)
    return _highest(means)


def _highest(scores: Scores) -> Scores:
    highest: Scores = scores.max(axis=1)
    return highest


def _mean(scores: Scores) -> Scores:
    means: Scores = scores.mean(axis=1)
    return means


AGGREGATIONS: Final[Mapping[Unit, Mapping[str, Aggregation]]] = {
    Unit.BREAST: {"highest": _highest, "mean": _mean},
    Unit.BREAST_OF_FOUR: {
        "highest": lambda scores: _highest(scores[:, :2]),
        "mean": lambda scores: _mean(scores[:, :2]),
        "mean of both sides": _mean,
    },
    Unit.PATIENT: {
        "highest": _highest,
        "mean": _mean,
        "highest of breasts' means": _highest_of_breast_means,
    },
}
"""What is done today, and what could be done without a head."""

FUSIONS: Final[Mapping[str, Fusion]] = {"concatenated": ConcatenatedViews, "gated": GatedViews}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """The head that was best on the studies to choose by, and what is made of its scores."""

    value: float
    head: nn.Module
    sees: Unit
    join: Aggregation | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Studies to learn from, to choose rate and epoch by, and to be judged by."""

    training: Studies
    choice: Studies
    test: Studies


Key = tuple[Unit, str, str]
"""Unit, task and way."""


def judged(task: str, labels: NDArray[np.int64], scores: Scores) -> float:
    """Return the AUROC of a finding, the accuracy of density."""
    if task == DENSITY:
        return accuracy(labels, scores.argmax(axis=1))
    return auroc(labels, scores[:, 0])


def answers_of(parts: Parts, seed: int) -> dict[Key, Scores]:
    """Learn in every way from the same studies, and answer for the test's units."""
    training, choice, test = (
        part.standardised(parts.training) for part in (parts.training, parts.choice, parts.test)
    )
    truth = {unit: choice.truth(unit) for unit in AGGREGATIONS}
    found: dict[Key, Chosen] = {}

    def learn(
        kind: Fusion, sees: Unit, ways: Mapping[tuple[Unit, str], Aggregation | None]
    ) -> None:
        inputs = choice.inputs(sees)
        for heads in _learnt(kind, sees, training, seed):
            for task, head in heads.items():
                scores = _scores(head, inputs)
                for (unit, way), join in ways.items():
                    value = judged(task, truth[unit][task], _joined(scores, unit, join))
                    known = found.get((unit, task, way))
                    if known is None or value > known.value:
                        found[unit, task, way] = Chosen(
                            value=value, head=deepcopy(head), sees=sees, join=join
                        )

    joins = {(unit, way): join for unit, own in AGGREGATIONS.items() for way, join in own.items()}
    learn(ConcatenatedViews, Unit.IMAGE, joins)
    for way, fusion in FUSIONS.items():
        for unit in AGGREGATIONS:
            learn(fusion, unit, {(unit, way): None})
    for unit, own in AGGREGATIONS.items():
        for task in OUTPUTS:
            tried = [found[unit, task, way] for way in own]
            found[unit, task, AGGREGATED] = max(tried, key=lambda chosen: chosen.value)
    return {
        key: _joined(_scores(chosen.head, test.inputs(chosen.sees)), key[0], chosen.join)
        for key, chosen in found.items()
    }


def _joined(scores: Scores, unit: Unit, join: Aggregation | None) -> Scores:
    """Make one answer for each unit of scores of images, (4 P, outputs), in study order."""
    if join is None:
        return scores
    return join(gathered(scores.reshape(-1, 4, scores.shape[1]), unit))


@torch.inference_mode()
def _scores(head: nn.Module, inputs: Tensor) -> Scores:
    return shares_of(head(inputs))


def _learnt(kind: Fusion, unit: Unit, part: Studies, seed: int) -> Iterator[dict[str, nn.Module]]:
    """Train a head for each task and learning rate; yields those of a rate after each epoch."""
    torch.manual_seed(seed)
    inputs = part.inputs(unit)
    truth = {task: torch.from_numpy(labels.copy()) for task, labels in part.truth(unit).items()}
    channels = inputs.shape[2]
    first = {task: kind(channels, VIEWS[unit], outputs) for task, outputs in OUTPUTS.items()}
    heads = {rate: {task: deepcopy(head) for task, head in first.items()} for rate in RATES}
    weights = {task: _positive_weight(labels) for task, labels in truth.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for head in own.values() for p in head.parameters()], "rate": rate}
            for rate, own in heads.items()
        ],
        weight_decay=WEIGHT_DECAY,
        foreach=True,
    )
    size, step = BATCH_IMAGES // VIEWS[unit], 0
    if unit is Unit.BREAST_OF_FOUR:
        size *= 2  # each image is shown twice
    steps = len(shuffled(len(inputs), size, seed, 0))
    for epoch in range(EPOCHS):
        for chosen in shuffled(len(inputs), size, seed, epoch):
            factor = learning_rate_factor(step, steps, steps * EPOCHS)
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            loss = sum(
                (
                    head_loss(head(inputs[chosen]), truth[task][chosen], weights[task])
                    for own in heads.values()
                    for task, head in own.items()
                ),
                torch.zeros(()),
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
        yield from heads.values()


def _positive_weight(labels: Tensor) -> Tensor:
    return (labels == 0).sum() / (labels > 0).sum().clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One set of training studies.

    Attributes
    ----------
    name : of the studies that are learnt from
    pool : what they are drawn from
    place : of the trial among those of its name
    """

    name: str
    pool: Studies
    test: Studies
    place: int


def trials_of(folder: Path, held_out: tuple[int, int], cache: Path) -> tuple[Studies, list[Trial]]:
    """Read what `make_weights --family varied` left: the studies to choose by, and the trials."""
    plan = Plan(folder=folder, family=Family.VARIED)
    encoder, _ = read_image_encoder(folder / "demonstration_bundle")

    def read(seed: int, maps: Path) -> Studies:
        return read_studies(encoder, plan.images(seed), maps, cache / f"features-{seed}.npy")

    choice, learnt = (
        read(seed, plan.looks_of(seed)[0]) for seed in (VALIDATION_SEED, TRAINING_SEED)
    )
    one, two = (read(seed, plan.maps(seed)) for seed in held_out)
    return choice, [
        Trial(name=NEW, pool=one, test=two, place=0),
        Trial(name=NEW, pool=two, test=one, place=1),
        Trial(name=KNOWN, pool=learnt, test=one + two, place=0),
    ]


def told(trial: Trial, choice: Studies, count: int, seed: int, kept: Path) -> dict[str, Scores]:
    """Return what the test's units are told in every way, learnt if it was not."""
    if not kept.is_file():
        generator = np.random.default_rng([seed, trial.place])
        drawn = generator.permutation(len(trial.pool.features))[:count]
        parts = Parts(training=trial.pool.of(drawn), choice=choice, test=trial.test)
        found = answers_of(parts, seed)
        with whole_file(kept) as stream:
            named: dict[str, Any] = {"|".join(key): scores for key, scores in found.items()}
            np.savez(stream, **named)
    with np.load(kept) as values:
        return dict(values)


def over_patients(
    trials: Sequence[Trial], key: Key, found: Sequence[Sequence[Mapping[str, Scores]]]
) -> Difference:
    """Return how far a way is above the aggregated scores, with a bootstrap over test patients.

    Parameters
    ----------
    found : of each trial, seed by seed
    """
    unit, task, _ = key
    way, base = "|".join(key), "|".join((unit, task, AGGREGATED))
    labels = [trial.test.truth(unit)[task] for trial in trials]
    places = [np.full(len(own), place) for place, own in enumerate(labels)]

    def difference(place: NDArray[np.intp], row: NDArray[np.intp]) -> float:
        values = []
        for number, truth in enumerate(labels):
            rows = row[place == number]
            for scores in found[number]:
                values.append(
                    judged(task, truth[rows], scores[way][rows])
                    - judged(task, truth[rows], scores[base][rows])
                )
        return float(np.mean(values))

    units_of_patient = 1 if unit is Unit.PATIENT else 2
    row = np.concatenate([np.arange(len(own)) for own in labels])
    place = np.concatenate(places)
    groups = place * len(row) + row // units_of_patient
    drawn = bootstrap(difference, place, row, groups=groups, repeats=_REPEATS)
    return Difference(value=drawn.value, low=drawn.low, high=drawn.high)


def main(
    *,
    weights: Annotated[
        Path, typer.Option(help="Folder of make_weights --family varied.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables; a killed run goes on.")],
    held_out: Annotated[
        tuple[int, int], typer.Option(help="Two seeds that the weights were judged by.")
    ],
    seeds: Annotated[int, typer.Option(min=2, help="Draws of training studies.")] = 5,
) -> None:
    """Compare heads over several views with aggregated scores; writes comparison.md.

    Example: python -m training.examples.demonstration.view_fusion_comparison
    --weights .weights --held-out 544384374 3538297617 --out compared
    """
    torch.set_num_threads(1)
    choice, trials = trials_of(weights, held_out, out)
    figures: dict[str, list[Figures]] = {
        way: [{} for _ in range(seeds)] for way in (AGGREGATED, *FUSIONS)
    }
    lines = [
        "| figure | way | difference from aggregated (95 % over patients) |",
        "| --- | --- | --- |",
    ]
    for name, counts in STUDIES.items():
        own = [trial for trial in trials if trial.name == name]
        for count in counts:
            found: list[list[dict[str, Scores]]] = [[] for _ in own]
            for seed in range(1, seeds + 1):
                for place, trial in enumerate(own):
                    kept = out / "scores" / f"{name}-{count}-{place}-{seed}.npz"
                    typer.echo(kept.name, err=True)
                    found[place].append(told(trial, choice, count, seed, kept))
            for unit in AGGREGATIONS:
                for task in OUTPUTS:
                    figure = f"{task} of {unit}, {count} studies ({name})"
                    for way, runs in figures.items():
                        for seed, run in enumerate(runs):
                            run[figure] = float(
                                np.mean(
                                    [
                                        judged(
                                            task,
                                            trial.test.truth(unit)[task],
                                            found[place][seed]["|".join((unit, task, way))],
                                        )
                                        for place, trial in enumerate(own)
                                    ]
                                )
                            )
                    for way in FUSIONS:
                        there = over_patients(own, (unit, task, way), found)
                        lines.append(
                            f"| {figure} | {way} | {there.value:+.3f} "
                            f"({there.low:+.3f} to {there.high:+.3f}) |"
                        )
    comparison = Comparison(
        made_with={
            "learnt from": "frozen features of phantoms: " + "; ".join(STUDIES),
            "rate, epoch and aggregation chosen by": f"seed {VALIDATION_SEED}",
            "figures": "AUROC; of density accuracy",
            "seeds": f"{seeds}: which studies, their order, first weights",
        },
        baseline=AGGREGATED,
        figures=figures,
    )
    write_comparison(comparison, out)
    write_whole(out / "over_patients.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
