"""How a bundle's answers stand noise, blur, gain and another family of phantoms.

Pictures are made worse at their native size, 1520 x 912, before they are prepared. Seeds come from
the finished weights' SHA-256: nobody can have chosen weights by them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from mammoclip_core.analysis.interpretation import calibrated
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.engines.choice import load_model
from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.images.preprocessing import prepare
from mammoclip_core.images.stored_image import StoredImage
from mammoclip_core.manifest import read_manifest
from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.model_card import figure_table
from training.measures.degradation import DEGRADATIONS, Degradation
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import accuracy, auroc
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.view import VIEW_POSITIONS
from training.phantoms.writing import to_grey
from training.pretraining.label_loss import FINDINGS
from training.terminal import one_line_errors, progress

TABLE_NAME: Final = "robustness.md"
_NOISE_STREAM: Final = 5
_ALL_FAMILIES: Final = (Family.VARIED, Family.FILAMENT)

Row = dict[str, Any]
"""One answer: family, seed, patient, degradation, and label, score and threshold by finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Which phantoms a bundle is shown.

    Attributes
    ----------
    out : folder of the answers, one file a study, and of the table
    studies : of each family and seed
    seeds : None for those of the weights
    """

    bundle: Path
    out: Path
    studies: int
    families: Sequence[Family] = _ALL_FAMILIES
    seeds: Sequence[int] | None = None
    degradations: Sequence[Degradation] = field(default=DEGRADATIONS)


def examine(order: Examination, on_study: Callable[[], None] = lambda: None) -> list[Figure]:
    """Show a bundle every picture in every way, and judge; takes up what a killed run left."""
    model = load_model(order.bundle)
    digest = model.manifest.weights_sha256
    folder = order.out / f"answers-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    # A run that was stopped has seen as much of each family and seed.
    for number in range(order.studies):
        for family in order.families:
            for seed in order.seeds or held_out_seeds(digest):
                rows += _kept_answers(model, order, folder, (family, seed, number))
                on_study()
    figures = robustness_figures(rows)
    (order.out / TABLE_NAME).write_text("\n".join(figure_table(figures)) + "\n", encoding="utf-8")
    return figures


def robustness_figures(rows: Sequence[Row]) -> list[Figure]:
    """Return a row for each family, finding, degradation and measure, with 95 % intervals."""
    figures = []
    names = [entry.name for _, entry in FINDINGS]
    ways = dict.fromkeys((row["family"], row["way"]) for row in rows)
    for family, way in ways:
        own = [row for row in rows if (row["family"], row["way"]) == (family, way)]
        for name in names:
            figures += _figures_of_finding(own, name, f"{family} phantoms", way)
        density = np.array([row["density"] for row in own])
        said = np.array([row["said_density"] for row in own])
        figures.append(
            Figure(
                task=f"{family} phantoms, density",
                setting=way,
                measure="accuracy",
                honest=bootstrap(accuracy, density, said, groups=_patients(own)),
            )
        )
    return figures


def _figures_of_finding(rows: Sequence[Row], name: str, data: str, way: str) -> list[Figure]:
    labels = np.array([row["labels"][name] for row in rows], dtype=bool)
    scores = np.array([row["scores"][name] for row in rows])
    above = np.array([row["above"][name] for row in rows], dtype=bool)
    task = f"{data}, {name.replace('_', ' ')}"
    patients = _patients(rows)
    return [
        Figure(
            task=task,
            setting=way,
            measure="AUROC",
            honest=bootstrap(auroc, labels, scores, groups=patients),
        ),
        Figure(
            task=task,
            setting=way,
            measure="specificity at the threshold",
            honest=bootstrap(_share_silent, ~labels, above, groups=patients),
        ),
        Figure(
            task=task,
            setting=way,
            measure="sensitivity at the threshold",
            honest=bootstrap(_share_told, labels, above, groups=patients),
        ),
    ]


def _share_told(counted: NDArray[np.bool_], above: NDArray[np.bool_]) -> float:
    return float(above[counted].mean()) if counted.any() else float("nan")


def _share_silent(counted: NDArray[np.bool_], above: NDArray[np.bool_]) -> float:
    return 1.0 - _share_told(counted, above)


def _patients(rows: Sequence[Row]) -> list[str]:
    return [row["patient"] for row in rows]


_Study = tuple[Family, int, int]


def _kept_answers(model: Predictor, order: Examination, folder: Path, study: _Study) -> list[Row]:
    """Answer for one study, or read what was answered before."""
    family, seed, number = study
    path = folder / f"{family}-{seed}-{number}.json"
    wanted = {way.name for way in order.degradations}
    known: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if wanted <= {row["way"] for row in known}:
        return [row for row in known if row["way"] in wanted]
    rows = list(_answers_of_study(model, order.degradations, study))
    making = path.with_suffix(".part")
    making.write_text(json.dumps(rows), encoding="utf-8")
    making.replace(path)
    return rows


def _answers_of_study(
    model: Predictor, degradations: Sequence[Degradation], study: _Study
) -> list[Row]:
    family, seed, number = study
    patient = draw_patient(seed, number, family)
    rows: list[Row] = []
    for breast in patient.breasts:
        shown = {lesion.observation.attribute for lesion in breast.lesions}
        for view_position in VIEW_POSITIONS:
            picture = to_grey(draw_view(patient, breast, view_position).pixels)
            place = (ord(breast.laterality), VIEW_POSITIONS.index(view_position))
            generator = np.random.default_rng([*patient.key, *place, _NOISE_STREAM])
            batch = np.stack([_prepared(model, way.of(picture, generator)) for way in degradations])
            for way, prediction in zip(degradations, model.predict(batch), strict=True):
                scores = {
                    entry.name: calibrated(
                        prediction.scores[entry.name], model.manifest.finding(entry.name)
                    )
                    for _, entry in FINDINGS
                }
                rows.append(
                    {
                        "family": family.value,
                        "patient": patient.patient_id,
                        "way": way.name,
                        "labels": {entry.name: kind in shown for kind, entry in FINDINGS},
                        "scores": scores,
                        "above": {
                            name: score >= model.manifest.finding(name).threshold
                            for name, score in scores.items()
                        },
                        "density": "ABCD".index(patient.density),
                        "said_density": int(np.argmax(prediction.density_scores)),
                    }
                )
    return rows


def _prepared(model: Predictor, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Prepare a picture as a node does, (3, rows, columns)."""
    image = StoredImage(
        values=picture, photometric_interpretation="MONOCHROME2", sop_instance_uid="phantom"
    )
    values = prepare(image, model.manifest.preprocessing).values
    return np.repeat(np.asarray(values, dtype=np.float32)[None], 3, axis=0)


@one_line_errors()
def main(
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Bundle to examine. Default: the demonstration's."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for answers and table.")
    ] = Path(".robustness"),
    studies: Annotated[
        int, typer.Option(min=1, help="Number of studies of each family and seed.")
    ] = 40,
    family: Annotated[
        list[Family] | None,
        typer.Option(help="Family of phantoms; may be repeated. Default: varied and filament."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=8, help="Number of seeds taken from the weights' SHA-256.")
    ] = 3,
) -> None:
    """Measure how a bundle stands noise, blur, gain and other phantoms; prints the table.

    A run that was stopped continues where it was.

    Example: python -m training.examples.demonstration.robustness --studies 40
    """
    folder = bundle or demonstration_bundle()
    digest = read_manifest(folder).weights_sha256
    families = tuple(family or _ALL_FAMILIES)
    order = Examination(
        bundle=folder,
        out=out,
        studies=studies,
        families=families,
        seeds=held_out_seeds(digest, seeds),
    )
    with progress("phantom studies", studies * seeds * len(families)) as advance:
        figures = examine(order, advance)
    typer.echo("\n".join(figure_table(figures)))


if __name__ == "__main__":
    typer.run(main)
