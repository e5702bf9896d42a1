"""The paper's evaluation over whatever data is given: every part, every model, one report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import MANIFEST_NAME, read_manifest
from mammoclip_core.published.convert import convert
from training.data.table_mapping import UNKNOWN
from training.downstream.labelled_images import DENSITIES
from training.downstream.task_figures import Curves, TaskResult, joined
from training.downstream.tasks import TASKS, DataSet, Task, own_task
from training.errors import SettingsError
from training.evaluation.blob_baseline import blob_figures
from training.evaluation.classification import fine_tunes, probes, zero_shot
from training.evaluation.detection_part import detection_part
from training.evaluation.localisation_part import localisation_part
from training.evaluation.plots import write_plots
from training.evaluation.report_retrieval import retrieval_figures
from training.evaluation.suite_input import SuiteInput
from training.learning.ranks import ALONE, Ranks
from training.measures.figures import EvaluationReport, Figure, Subgroup

OfTask = Callable[[SuiteInput, Task], TaskResult]
OfModel = Callable[[SuiteInput], list[Figure]]

PARTS_OF_TASKS: Final[Mapping[str, OfTask]] = {
    "zero-shot": zero_shot,
    "probe": probes,
    "finetune": fine_tunes,
}
"""Done for every classification task whose table is given."""

RETRIEVAL: Final = "retrieval"

PARTS_OF_MODELS: Final[Mapping[str, OfModel]] = {
    RETRIEVAL: retrieval_figures,
    "localisation": localisation_part,
    "detection": detection_part,
}
"""Done once a model; a part whose data is not given returns nothing."""

PARTS_OF_DATA: Final[Mapping[str, OfModel]] = {"blobs": blob_figures}
"""Done once: they know no model."""

PARTS: Final = (*PARTS_OF_TASKS, *PARTS_OF_MODELS, *PARTS_OF_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """One model of the report; the name is empty of the one that it is about."""

    name: str
    given: SuiteInput


def run_suite(
    given: SuiteInput,
    beside: Mapping[str, Path] | None = None,
    parts: Sequence[str] = PARTS,
) -> EvaluationReport:
    """Run the parts on a bundle, and on others beside it, and write report and plots.

    ``evaluation.md``, ``evaluation.json``, ``plots/`` and ``heads/`` come into the folder
    `SuiteInput.out`. A part that the data or the bundle is too little for is a row that says so.

    Parameters
    ----------
    beside : bundles by name
    parts : of `PARTS`

    Raises
    ------
    SettingsError
        A part is not known, or no table is given.
    CoreError
        A bundle, a table or an image cannot be read.
    """
    require_known(parts)
    if not given.sets and given.reports is None:
        raise SettingsError(
            "there is nothing to evaluate: give --vindr, --rsna, --table or --reports"
        )
    models = [_Model(name="", given=given)]
    for name, bundle in (beside or {}).items():
        other = replace(
            given, bundle=bundle, manifest=read_manifest(bundle), out=given.out / "beside" / name
        )
        models.append(_Model(name=name, given=other))
    tasks = [task for task in TASKS.values() if task.data in given.sets]
    tasks += _own_tasks(given)
    figures: list[Figure] = []
    subgroups: list[Subgroup] = []
    curves: dict[str, Curves] = {task.name: {} for task in tasks}
    for task in tasks:
        for model in models:
            outcome = joined(
                [part(model.given, task) for name, part in PARTS_OF_TASKS.items() if name in parts]
            )
            figures += [replace(figure, model=model.name) for figure in outcome.figures]
            own = {f"{model.name} {key}".strip(): curve for key, curve in outcome.curves.items()}
            curves[task.name] = {**curves[task.name], **own}
            if not model.name:
                subgroups += outcome.subgroups
    is_first = given.machine.ranks.is_first
    if is_first:
        figures += _of_data(given, parts)
    for model in models:
        for name, part in PARTS_OF_MODELS.items():
            if name in parts:
                given.say(name)
                figures += [replace(figure, model=model.name) for figure in part(model.given)]
    report = EvaluationReport(
        made_with=_made_with(given, models, parts), figures=figures, subgroups=subgroups
    )
    if is_first:
        report.write(given.out)
        for task in tasks:
            write_plots(curves[task.name], given.out / "plots" / task.head)
    return report


def require_known(parts: Sequence[str]) -> None:
    """Refuse parts that are none of `PARTS`; raises SettingsError."""
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise SettingsError(f"parts {', '.join(unknown)}: known are {', '.join(PARTS)}")


def _of_data(given: SuiteInput, parts: Sequence[str]) -> list[Figure]:
    """Return the figures of what knows no model."""
    figures: list[Figure] = []
    for name, part in PARTS_OF_DATA.items():
        if name in parts:
            given.say(name)
            figures += [replace(figure, model="none") for figure in part(given)]
    return figures


def _own_tasks(given: SuiteInput) -> list[Task]:
    """Return the tasks of a table of one's own: every label that its images have."""
    data = given.sets.get(DataSet.OWN)
    if data is None:
        return []
    labels = data.labels or {
        task.label: tuple(DENSITIES) if task.is_class_set else ()
        for task in TASKS.values()
        if task.label in data.images and (data.images[task.label] != UNKNOWN).any()
    }
    return [own_task(label, data.table.name, classes) for label, classes in labels.items()]


def opened(model: Path, cache: Path, ranks: Ranks = ALONE) -> Path:
    """Return the bundle that a path is; a pretraining checkpoint becomes one, without its texts.

    Parameters
    ----------
    cache : folder of the bundles that checkpoints become
    ranks : processes that share the folder

    Raises
    ------
    CoreError
        It is neither.
    """
    if not model.is_file():
        return model
    folder = cache / f"bundle-{file_sha256(model)[:16]}"
    if ranks.is_first and not (folder / MANIFEST_NAME).is_file():
        convert(model, None, folder)
    ranks.wait()
    return folder


def _made_with(given: SuiteInput, models: Sequence[_Model], parts: Sequence[str]) -> dict[str, str]:
    facts = {}
    for model in models:
        manifest = model.given.manifest
        warning = f". {manifest.warning}" if manifest.warning else ""
        facts[model.name or "the bundle"] = (
            f"{manifest.name} {manifest.version}, weights {manifest.weights_sha256[:12]}, input "
            f"{manifest.preprocessing.rows} x {manifest.preprocessing.columns}; trained on "
            f"{manifest.trained_on}{warning}"
        )
    for name, data in given.sets.items():
        counts = data.images["part"].value_counts()
        by_part = ", ".join(f"{part} {count}" for part, count in sorted(counts.items()))
        facts[name.value] = (
            f"{data.table.name}: {len(data.rows)} rows, {len(data.images)} images of "
            f"{data.images['patient'].nunique()} patients; images by part: {by_part}"
        )
    if given.reports is not None:
        facts["reports"] = (
            f"{given.reports.table.name}, fold 0: {len(given.reports.texts)} distinct reports of "
            f"{len(set(given.reports.patients))} patients"
        )
    changed = [] if given.epochs is None else [f"epochs {given.epochs}"]
    changed += [] if given.learning_rate is None else [f"learning rate {given.learning_rate:g}"]
    facts["preset"] = f"{given.preset}{''.join(f', but {one}' for one in changed)}"
    facts["parts"] = ", ".join(parts)
    facts["ours, as published"] = (
        "annotation rows as cases (RSNA: breasts; zero-shot: images), best epoch on the test part"
    )
    facts["ours, honest"] = (
        "images as cases (RSNA: breasts), epoch chosen on patients held out of training"
    )
    facts["intervals"] = (
        f"95 %, bootstrap over patients, {given.repeats} draws; few images drawn repeatedly look "
        "worse calibrated than the whole: an interval of calibration error may lie above its figure"
    )
    facts["seed"] = str(given.seed)
    facts["software"] = f"mammoclip-dicom {version('mammoclip-dicom')}"
    return facts
