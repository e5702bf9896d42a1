"""Our figures beside the published ones: one table, as Markdown to read and JSON to keep."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from training.measures.intervals import Estimate
from training.measures.published_figures import EVIDENCE, MODELS, published
from training.whole_file import write_whole

NONE: Final = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of ours, judged in both ways.

    Attributes
    ----------
    task, setting, measure : as in `published_figures`, or names of our own
    as_published : by the authors' protocol
        Annotation rows as cases, the epoch that is best on the test split, for detection only
        images that bear the finding. None where there is no such protocol.
    honest : by ours
        Images as cases, the epoch chosen on a held-out part of training, all images.
    remark : words
        For example the anchor that the figure must be held against.
    model : which of several models; empty for the one that the report is about
    """

    task: str
    setting: str
    measure: str
    as_published: Estimate | None = None
    honest: Estimate | None = None
    remark: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """A figure on one part of the cases, named by what they have in common.

    Attributes
    ----------
    by : ``view``, ``density``, ``machine``, ``age`` ...
    value : for example ``CC``
    """

    task: str
    by: str
    value: str
    measure: str
    estimate: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """All figures of one evaluation, and what they were made with.

    Attributes
    ----------
    made_with : facts as words
        Bundle, weights' hash, data, preset, seed, software version.
    """

    made_with: Mapping[str, str]
    figures: Sequence[Figure]
    subgroups: Sequence[Subgroup] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values; what cannot be computed is null."""
        rows = []
        for figure in self.figures:
            cell = published(figure.task, figure.setting, figure.measure)
            row = asdict(figure)
            row["published"] = (
                dict(zip(MODELS, cell.by_model, strict=True)) | {"evidence": cell.evidence}
                if cell
                else None
            )
            rows.append(row)
        plain = {
            "made_with": dict(self.made_with),
            "evidence": EVIDENCE,
            "figures": rows,
            "subgroups": [asdict(one) for one in self.subgroups],
        }
        answer: dict[str, Any] = _without_nan(plain)
        return answer

    def as_markdown(self) -> str:
        """Return the report as Markdown tables."""
        parts = ["| made with | |", "| --- | --- |"]
        parts += [f"| {name} | {_cell(value)} |" for name, value in self.made_with.items()]
        heads = [f"published {model}" for model in MODELS]
        has_others = any(figure.model for figure in self.figures)
        titles = ["task", "setting", "measure", *heads, "ours, as published", "ours, honest"]
        titles += ["cases", "remark", *(["model"] if has_others else [])]
        parts += ["", _row(titles), _row(["---"] * len(titles))]
        for figure in self.figures:
            cell = published(figure.task, figure.setting, figure.measure)
            values = [
                NONE if value is None or cell is None else f"{value:.2f} [{cell.evidence}]"
                for value in (cell.by_model if cell else (None,) * len(MODELS))
            ]
            ours = [str(one) if one else NONE for one in (figure.as_published, figure.honest)]
            known = figure.honest or figure.as_published
            cases = str(known.cases) if known else NONE
            shown = (figure.task, figure.setting, figure.measure, *values, *ours, cases)
            model = [figure.model or "the bundle"] if has_others else []
            parts.append(_row([*shown, figure.remark, *model]))
        parts += ["", *(f"[{key}]: {words}." for key, words in EVIDENCE.items())]
        if self.subgroups:
            parts += ["", _row(["task", "by", "value", "measure", "ours", "cases"])]
            parts += [_row(["---"] * 6)]
            for one in self.subgroups:
                shown = (one.task, one.by, one.value, one.measure, str(one.estimate))
                parts.append(_row([*shown, str(one.estimate.cases)]))
        return "\n".join(parts) + "\n"

    def write(self, folder: Path) -> None:
        """Write ``evaluation.md`` and ``evaluation.json`` into a folder, made if need be."""
        write_whole(folder / "evaluation.md", self.as_markdown())
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
        write_whole(folder / "evaluation.json", text + "\n")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return value
