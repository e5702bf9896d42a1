"""The figures that the authors published, with how well each is known."""

from dataclasses import dataclass
from typing import Final

DIGITISED: Final = "D"
"""Read off the authors' charts to ±0.005: two decimals, and no more is claimed."""

AMBIGUOUS: Final = "D?"
"""Digitised as well; two passages differ on what was measured."""

EVIDENCE: Final = {
    DIGITISED: "read off the authors' charts (±0.005); not compared with the paper's text",
    AMBIGUOUS: "as [D]; the chart's axis says IoU, other sources say average precision",
}

MODELS: Final = ("B2", "B5", "B5+V")
"""Mammo-CLIP pretrained on UPMC with EfficientNet-B2, B5, and B5 with VinDr-Mammo added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One cell of one published table.

    Attributes
    ----------
    task, setting, measure : as the rows of our own evaluation are called
    by_model : figures of `MODELS`, None where a model was not evaluated
    evidence : key of `EVIDENCE`
    """

    task: str
    setting: str
    measure: str
    by_model: tuple[float | None, float | None, float | None]
    evidence: str = DIGITISED


_ByModel = tuple[float | None, float | None, float | None]


def _rows(task: str, measure: str, figures: dict[str, _ByModel]) -> tuple[PublishedFigure, ...]:
    return tuple(
        PublishedFigure(task=task, setting=setting, measure=measure, by_model=by_model)
        for setting, by_model in figures.items()
    )


def _localisation(finding: str, figures: dict[str, _ByModel]) -> tuple[PublishedFigure, ...]:
    return tuple(
        PublishedFigure(
            task=f"VinDr {finding} localisation without boxes",
            setting=f"Mammo-FActOR, {threshold}",
            measure=f"average precision at IoU {threshold}",
            by_model=by_model,
            evidence=AMBIGUOUS,
        )
        for threshold, by_model in figures.items()
    )


PUBLISHED: Final[tuple[PublishedFigure, ...]] = (
    *_rows(
        "VinDr suspicious calcification",
        "AUROC",
        {
            "zero-shot": (0.68, 0.61, 0.62),
            "linear probe 10 %": (0.90, 0.91, 0.92),
            "linear probe 50 %": (0.92, 0.93, 0.94),
            "linear probe 100 %": (0.92, 0.94, 0.96),
            "fine-tune 100 %": (0.98, 0.98, 0.98),
        },
    ),
    *_rows(
        "VinDr mass",
        "AUROC",
        {
            "zero-shot": (0.58, 0.48, 0.76),
            "linear probe 10 %": (0.69, 0.73, 0.80),
            "linear probe 50 %": (0.72, 0.78, 0.84),
            "linear probe 100 %": (0.73, 0.79, 0.86),
            "fine-tune 100 %": (0.85, 0.85, 0.88),
        },
    ),
    *_rows(
        "VinDr density",
        "accuracy",
        {
            "zero-shot": (0.13, 0.15, 0.15),
            "linear probe 10 %": (0.80, 0.83, 0.83),
            "linear probe 50 %": (0.82, 0.84, 0.86),
            "linear probe 100 %": (0.84, 0.85, 0.86),
            "fine-tune 100 %": (0.85, 0.88, 0.88),
        },
    ),
    *_rows(
        "RSNA cancer",
        "AUROC",
        {
            "zero-shot": (0.60, 0.62, 0.60),
            "fine-tune 10 %": (0.82, 0.85, 0.85),
            "fine-tune 50 %": (0.86, 0.89, 0.90),
            "fine-tune 100 %": (0.89, 0.90, 0.91),
            "linear probe 100 %": (0.72, 0.75, 0.79),
        },
    ),
    *_rows(
        "VinDr suspicious calcification detection",
        "mAP at IoU 0.5",
        {
            "frozen encoder 100 %": (0.17, 0.17, 0.17),
            "fine-tune 10 %": (0.08, 0.12, 0.10),
            "fine-tune 50 %": (0.20, 0.28, 0.25),
            "fine-tune 100 %": (0.32, 0.35, 0.35),
        },
    ),
    *_rows(
        "VinDr mass detection",
        "mAP at IoU 0.5",
        {
            "frozen encoder 100 %": (0.37, 0.35, 0.39),
            "fine-tune 10 %": (0.38, 0.41, 0.43),
            "fine-tune 50 %": (0.50, 0.52, 0.54),
            "fine-tune 100 %": (0.55, 0.58, 0.58),
        },
    ),
    *_localisation("mass", {"0.25": (0.38, 0.45, None), "0.5": (0.22, 0.37, None)}),
    *_localisation(
        "suspicious calcification", {"0.25": (0.20, 0.25, None), "0.5": (0.13, 0.17, None)}
    ),
)


def published(task: str, setting: str, measure: str) -> PublishedFigure | None:
    """Return the published cell of a task, setting and measure, or None where there is none."""
    key = (task, setting, measure)
    return next((row for row in PUBLISHED if (row.task, row.setting, row.measure) == key), None)
