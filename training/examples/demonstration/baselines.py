"""What single numbers, and a forest on them, make of a family of phantoms: no model may be needed.

A finding that they solve shows nothing of a model that finds it: it is made harder until they do
not.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Annotated, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from training.measures.single_numbers import TREES, single_number_aucs, single_numbers
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.view import VIEW_POSITIONS
from training.phantoms.writing import to_grey
from training.pretraining.label_loss import FINDINGS
from training.terminal import one_line_errors, progress

MOST: Final = {"mass": 0.60, "suspicious_calcification": 0.75}
"""AUC that no single number, nor a forest on all of them, should exceed."""


def baseline_table(
    family: Family,
    seeds: Sequence[int],
    studies: int,
    *,
    processes: int = 1,
    on_study: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Draw as many studies of each seed, and return what `table_of` makes of all."""
    numbers: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.bool_]] = []
    patients: list[str] = []
    wanted = [(seed, number) for seed in seeds for number in range(studies)]
    for number, (own, shown) in enumerate(_in_order(partial(_study, family), wanted, processes)):
        numbers.append(own)
        labels.append(shown)
        patients += [str(number)] * len(own)
        on_study()
    return table_of(np.concatenate(numbers), np.concatenate(labels), patients)


def table_of(
    numbers: NDArray[np.float64],
    labels: NDArray[np.bool_],
    patients: Sequence[str],
    trees: int = TREES,
) -> dict[str, dict[str, float]]:
    """Return the AUC of the best number of each kind, and of a forest, by finding.

    A finding that all pictures show, or none, is left out.

    Parameters
    ----------
    numbers : (pictures, numbers), as `single_numbers` gives them
    labels : (pictures, findings), in the order of `label_loss.FINDINGS`
    """
    return {
        entry.name: single_number_aucs(numbers, labels[:, place], patients, trees=trees)
        for place, (_, entry) in enumerate(FINDINGS)
        if 0 < labels[:, place].sum() < len(labels)
    }


_Study = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Numbers, (4, numbers), and labels, (4, findings), of a study's pictures."""


def _in_order(
    read: Callable[[tuple[int, int]], _Study], wanted: Iterable[tuple[int, int]], processes: int
) -> Iterator[_Study]:
    if processes == 1:
        yield from map(read, wanted)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read, wanted)


def as_markdown(family: Family, table: dict[str, dict[str, float]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| phantoms | finding | number | AUC | wanted at most |", "| --- |" + " --- |" * 4]
    lines += [
        f"| {family} | {finding.replace('_', ' ')} | {name} | {auc:.3f} | {MOST[finding]:.2f} |"
        for finding, aucs in table.items()
        for name, auc in aucs.items()
    ]
    return lines


def _study(family: Family, study: tuple[int, int]) -> _Study:
    """Compute the numbers of a study, which its seed and number name."""
    cv2.setNumThreads(1)
    patient = draw_patient(*study, family)
    numbers, labels = [], []
    for breast in patient.breasts:
        shown = {lesion.observation.attribute for lesion in breast.lesions}
        for view_position in VIEW_POSITIONS:
            view = draw_view(patient, breast, view_position)
            numbers.append(single_numbers(to_grey(view.pixels), view.spacing_mm[0]))
            labels.append([attribute in shown for attribute, _ in FINDINGS])
    return np.stack(numbers), np.array(labels, dtype=bool)


@one_line_errors()
def main(
    *,
    family: Annotated[
        Family, typer.Option(help="Family of phantoms that is examined.")
    ] = Family.VARIED,
    seed: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Random seed of phantoms; may be repeated. Default: 77."),
    ] = None,
    studies: Annotated[
        int, typer.Option(min=10, help="Number of studies of each seed, four pictures each.")
    ] = 60,
    processes: Annotated[
        int, typer.Option(min=1, help="Number of processes that work in parallel.")
    ] = 1,
) -> None:
    """Measure what needs no model to tell findings of phantoms; prints a table.

    Example: python -m training.examples.demonstration.baselines --family varied --studies 60
    """
    seeds = seed or [77]
    with progress("phantom studies", studies * len(seeds)) as advance:
        table = baseline_table(family, seeds, studies, processes=processes, on_study=advance)
    typer.echo("\n".join(as_markdown(family, table)))


if __name__ == "__main__":
    typer.run(main)
