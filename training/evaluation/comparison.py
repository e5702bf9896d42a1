"""``mammoclip-train compare``: pretraining in several ways on the same data, by several seeds."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.images.folder_walk import paths_below
from mammoclip_core.manifest import MANIFEST_NAME
from mammoclip_core.networks.tokenizer_files import TOKENIZER_FILES
from mammoclip_core.published.convert import convert
from training.data.breast_records import read_image_text_table
from training.data.data_facts import contents_sha256
from training.data.image_files import find_named
from training.data.image_source import NAMES_NAME, is_picture_folder
from training.data.table_mapping import TEST, TableMapping
from training.downstream.labelled_images import LabelledImages, read_labelled
from training.downstream.tasks import DataSet
from training.errors import SettingsError, TableError
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate
from training.evaluation.comparison_runs import Runs, compare_runs
from training.evaluation.comparison_table import Comparison, Figures
from training.evaluation.judged_reports import read_judged_reports
from training.phantoms.writing import Order, write_phantoms
from training.pretraining.pretraining_run import pretrain, require_usable_arguments
from training.terminal import Say
from training.whole_file import write_whole

_PARTS: Final = ("zero-shot", "probe", "retrieval")
_QUIET: Final = (
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.enable_model_summary",
    "false",
)
_BETWEEN_NAMES: Final = re.compile(r"[\s,=:'\"\[\]{}]+")
"""What stands between the names of files in a command line, and in the lists that it gives."""

_PHANTOM_SEEDS: Final = (501, 502)
"""Of the phantoms that are trained on, and of those that a model is judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonData:
    """What all ways learn from and are judged by.

    Attributes
    ----------
    reports : image-text table that is pretrained on; its validation fold is for retrieval
    findings : table to judge by, whose test part has other patients
        VinDr-Mammo's finding table or one of its format; where `is_own`, of one's own.
    mapping : of the columns and words of a table of one's own, or None
    images : folders
        Of the reports first; the others are searched for the finding table's images, too.
    """

    reports: Path
    findings: Path
    images: tuple[Path, ...]
    is_own: bool = False
    mapping: TableMapping | None = None

    def labelled(self, *, may_be_missing: bool = False) -> LabelledImages:
        """Read the table to judge by; raises CoreError."""
        found = read_labelled(
            self.findings, self.images, may_be_missing=may_be_missing, mapping=self.mapping
        )
        if found.data is not (DataSet.OWN if self.is_own else DataSet.VINDR):
            raise TableError(
                f"{self.findings} is of {found.data}: VinDr's finding table is given by --vindr, "
                "any other by --table, with --mapping where its columns are not ours"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOrder:
    """What is to be compared.

    Attributes
    ----------
    ways : further arguments of ``pretrain`` by name
    settings : arguments of ``pretrain`` that all ways have
    tokenizer : folder with ``vocab.txt``
    seeds : how often each way is trained, with another order of the data and other first weights
    probe_epochs : of the linear probes; None for the preset's
    """

    data: ComparisonData
    ways: Mapping[str, str]
    settings: str
    tokenizer: Path
    out: Path
    seeds: int = 3
    probe_epochs: int | None = None
    device: str = "cpu"
    say: Say = field(default=lambda words: None)


def phantom_data(folder: Path, studies: int, size: tuple[int, int]) -> ComparisonData:
    """Draw phantoms to learn from, and others to judge by, or take those that lie there."""
    for name, seed in zip(("training", "test"), _PHANTOM_SEEDS, strict=True):
        order = Order(seed=seed, studies=studies, out=folder / name, rows=size[0], columns=size[1])
        facts = f"{seed} {studies} {size}"
        done = folder / name / "drawn.txt"
        if not done.is_file() or done.read_text(encoding="utf-8") != facts:
            write_phantoms(order)
            write_whole(done, facts)
    return ComparisonData(
        reports=folder / "training" / "image_text.csv",
        findings=folder / "test" / "finding_annotations.csv",
        images=(folder / "training" / "png", folder / "test" / "png"),
    )


def compare(order: ComparisonOrder) -> Comparison:
    """Pretrain in every way by every seed, judge each model, and write the table of differences.

    A killed run goes on by the same order; models that were judged are not trained again.

    Raises
    ------
    SettingsError
        The folder holds a comparison of something else: other settings, tables or pictures.
    TableError
        A patient is trained on and judged by, or a picture to judge by is missing.
    CoreError
        A table, an image or a setting is of no use.
    """
    _require_ways(order)
    _require_apart(order.data)
    runs = Runs(
        ways=order.ways,
        seeds=order.seeds,
        out=order.out,
        facts={
            "reports": file_sha256(order.data.reports),
            **_shown(order.data),
            "tokenizer": contents_sha256(_existing(order.tokenizer, TOKENIZER_FILES)),
            "settings": order.settings,
            "files of the settings": _files_sha256(order.settings),
            "probe epochs": str(order.probe_epochs),
        },
        way_facts={name: _files_sha256(arguments) for name, arguments in order.ways.items()},
        say=order.say,
    )
    return compare_runs(
        runs,
        partial(_judged, order),
        {
            "pretrained on": f"{order.data.reports}, all folds but the validation fold",
            "judged by": f"{order.data.findings}, its test part; linear probes learn from its "
            "training part; retrieval on the reports of fold 0",
            "settings": order.settings,
        },
    )


def _require_apart(data: ComparisonData) -> None:
    read_judged_reports(data.reports, data.images)  # refuses what only the first model would meet
    learnt = {record.patient_id for record in read_image_text_table(data.reports)}
    images = data.labelled(may_be_missing=True).images
    test = set(images["patient"][images["part"] == TEST])
    if not test:
        raise TableError(
            f"{data.findings} has no test part to judge by: give it a column split (training, "
            "test) or fold (0 is the test part)"
        )
    shared = sorted(learnt & test)
    if shared:
        raise TableError(
            f"{len(shared)} patients of {data.reports} are in the test part of {data.findings}, "
            f"{shared[0]} among them: a model must not be judged by what it was trained on"
        )


def _shown(data: ComparisonData) -> dict[str, str]:
    """Return what models are shown, and what is said of it, in digests."""
    judged = data.labelled()
    said = json.dumps([judged.rows.to_csv(), judged.images.to_csv(), dict(judged.labels)])
    return {
        "pictures": contents_sha256([*_learnt(data), *judged.files]),
        "labels, patients or parts": hashlib.sha256(said.encode()).hexdigest(),
    }


def _learnt(data: ComparisonData) -> list[Path]:
    """Return the files that are pretrained on, in the order of their table."""
    folder = data.images[0]
    names = dict.fromkeys(
        Path(name)
        for record in read_image_text_table(data.reports)
        for own in record.images.values()
        for name in own
    )
    learnt = _existing(folder, names)
    if not is_picture_folder(folder):
        # An array is pretrained on; retrieval looks for the pictures themselves.
        asked = find_named(
            data.images,
            [name.parent.name for name in names],
            [name.stem for name in names],
            data.reports,
            may_be_missing=True,
        )
        learnt = [folder / NAMES_NAME, *(file for file in asked if file.is_file())]
    return learnt


def _files_sha256(arguments: str) -> str:
    """Condense what the files and bundles hold that arguments name; empty where they name none.

    Of a name with a space nothing is known.
    """
    named = [Path(word) for word in _BETWEEN_NAMES.split(arguments) if word]
    files = [path for path in named if path.is_file()]
    for folder in named:
        if (folder / MANIFEST_NAME).is_file():
            files += [path for path in paths_below(folder) if path.is_file()]
    return contents_sha256(files) if files else ""


def _existing(folder: Path, names: Iterable[str | Path]) -> list[Path]:
    """Return the files that are there; pretraining names those that are not."""
    return [folder / name for name in names if (folder / name).is_file()]


def _require_ways(order: ComparisonOrder) -> None:
    """Refuse what `pretrain` would only when a way's turn comes; raises SettingsError."""
    for way, arguments in {"--settings": "", **order.ways}.items():
        try:
            require_usable_arguments(_arguments(order, arguments, 0, order.out))
        except (SettingsError, ValueError) as error:
            raise SettingsError(f"{way}: {error}") from error


def _arguments(order: ComparisonOrder, arguments: str, seed: int, folder: Path) -> list[str]:
    """Return the arguments of `pretrain` for one model; raises ValueError at an open quote."""
    data = order.data
    sets = json.dumps([{"table": str(data.reports), "images": str(data.images[0])}])
    return [
        *shlex.split(order.settings),
        *("--model.network.tokenizer", str(order.tokenizer)),
        *("--data.settings.image_text", sets, "--out", str(folder / "pretraining")),
        *("--seed_everything", str(seed), "--data.settings.seed", str(seed)),
        *_QUIET,
        *shlex.split(arguments),
    ]


def _judged(order: ComparisonOrder, arguments: str, seed: int, folder: Path) -> Figures:
    """Train and judge one model."""
    data = order.data
    bundle = folder / "bundle"
    if not bundle.exists():
        pretrain(_arguments(order, arguments, seed, folder))
        best = folder / "pretraining" / "published" / "model-best.tar"
        convert(best, str(order.tokenizer), bundle)
    report = evaluate(
        EvaluationOrder(
            bundle=bundle,
            vindr=None if data.is_own else data.findings,
            table=data.findings if data.is_own else None,
            mapping=data.mapping,
            reports=data.reports,
            images=data.images,
            out=folder / "judged",
            only=_PARTS,
            epochs=order.probe_epochs,
            percents=(100,),
            seed=seed,
            repeats=20,  # the intervals of a comparison are over seeds
            device=order.device,
        )
    )
    return {
        f"{one.task}, {one.setting}, {one.measure}": one.honest.value
        for one in report.figures
        if one.honest is not None
    }
