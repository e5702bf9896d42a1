"""Held-out figures of the demonstration's model, beside others, and its model card."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from training.examples.demonstration.answers import Answers
from training.examples.demonstration.figures_over_seeds import table_over_seeds
from training.examples.demonstration.plan import Plan
from training.factor.localisation import localisation_figures
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import (
    accuracy,
    auroc,
    expected_calibration_error,
    quadratic_kappa,
)

DATA: Final = "phantoms"

ANSWERED: Final = "by its trained prompts"
"""Not zero-shot: the prompts stand in the loss that the model learned by."""

TAUGHT: Final = "by an encoder taught with boxes"

_BEGIN: Final = """\
A small Mammo-CLIP (EfficientNet-B0, BERT of two layers) that shows that a node works. It was
trained on synthetic phantoms and has never seen a mammogram: what it says of one means nothing.

Its image encoder began with the weights said below and was first trained to find the phantoms'
lesions, cell by cell, from their boxes, which the paper's pretraining does not know. Then
"""

_FROZEN: Final = """\
its blocks stood still, and its last convolution, both projections and the text encoder were
pretrained on pairs of views{looks} and of written reports, with the paper's multi-view supervision
"""

_LEARNING_ON: Final = """\
all of it, both projections and the text encoder were pretrained on pairs of views{looks} and of
written reports, with the paper's multi-view supervision
"""

_END: Final = """\
beside the labels' own prompts. Its answers by these prompts are therefore not zero-shot, and
Mammo-FActOR saw no box, but the encoder that it reads had. Channels, calibration and thresholds
were chosen on the validation seed. A node marks places of a finding by what pointed better on
further seeds, Mammo-FActOR or class activation. {seeds}
"""

_TWIN: Final = """
The model on single views differs in pretraining alone: an image stands beside its own report, never
beside the other view or that view's report; {same}.
"""


def words_of(plan: Plan) -> str:
    """Return how weights were made, in words."""
    looks = "" if plan.is_plain else " with changed noise, blur and tone"
    words = (
        _BEGIN
        + (_LEARNING_ON if plan.learns_on else _FROZEN).format(looks=looks)
        + _END.format(
            seeds="The held-out seed was opened once, for the figures below."
            if plan.is_plain
            else "The held-out seeds are digits of the finished\n"
            "weights' SHA-256: nobody could look at them before.",
        )
    )
    if plan.has_twin:
        blocks = "" if plan.learns_on else "its encoder's blocks, "
        words += _TWIN.format(same=f"{blocks}images and epochs are the same")
    return words


def figures_of(answers: Answers, setting: str, data: str = DATA) -> list[Figure]:
    """Measure answers, with 95 % bootstrap intervals over patients.

    Parameters
    ----------
    setting : which model it is, in words
    data : what it was shown, in words
    """
    figures = []
    for finding, scores in answers.scores.items():
        words = finding.replace("_", " ")
        for name, measure in (("AUROC", auroc), ("ECE", expected_calibration_error)):
            figures.append(
                Figure(
                    task=f"{data} {words} {ANSWERED}",
                    setting=setting,
                    measure=name,
                    honest=bootstrap(
                        measure, answers.labels[finding], scores, groups=answers.patients
                    ),
                    remark="15 bins of equal mass" if name == "ECE" else "",
                )
            )
    for name, own in (
        ("accuracy", accuracy),
        ("quadratic kappa", partial(quadratic_kappa, classes=range(4))),
    ):
        figures.append(
            Figure(
                task=f"{data} density {ANSWERED}",
                setting=setting,
                measure=name,
                honest=bootstrap(
                    own, answers.density, answers.said_density, groups=answers.patients
                ),
            )
        )
    for (method, finding), found in answers.localised.items():
        figures += localisation_figures(
            found,
            finding.replace("_", " "),
            data=data,
            method=f"{method}, {setting}",
            taught=TAUGHT,
        )
    return figures


def model_card(figures: Sequence[Figure], facts: Mapping[str, str], words: str) -> str:
    """Return the model card as Markdown.

    Parameters
    ----------
    facts : names and values: data, seeds, command
    words : how the weights were made
    """
    lines = ["# Model card: the demonstration's Mammo-CLIP", "", words, ""]
    lines += ["| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    over_seeds = table_over_seeds(figures)
    if over_seeds:
        lines += ["", "## Means over the held-out seeds", "", *over_seeds]
    lines += ["", "## Held-out figures", "", *figure_table(figures)]
    return "\n".join(lines) + "\n"


def figure_table(figures: Sequence[Figure]) -> list[str]:
    """Return the lines of a Markdown table; figures that could not be computed are left out."""
    lines = ["| task | model | measure | figure (95 % interval) | cases |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {figure.task} | {figure.setting} | {figure.measure} | {figure.honest} "
        f"| {figure.honest.cases} |"
        for figure in figures
        if figure.honest is not None
    ]
    return lines
