"""``mammoclip-train evaluate``: tables and bundles opened, then the suite."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mammoclip_core.manifest import read_manifest
from training.data.table_mapping import TableMapping
from training.downstream.finetune import Machine
from training.downstream.labelled_images import LabelledImages, read_labelled
from training.downstream.tasks import DataSet
from training.errors import TableError
from training.evaluation.judged_reports import read_judged_reports
from training.evaluation.suite import PARTS, RETRIEVAL, opened, require_known, run_suite
from training.evaluation.suite_input import ALL_PERCENTS, SuiteInput
from training.learning.presets import Preset
from training.learning.ranks import ALONE, Ranks
from training.measures.figures import EvaluationReport
from training.measures.intervals import REPEATS
from training.terminal import NOTHING_SAID, Say
from training.whole_file import require_writable


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOrder:
    """What is to be evaluated on what.

    Attributes
    ----------
    bundle : folder, or a pretraining checkpoint
    vindr, rsna, reports : tables; None where they are not at hand
    table : a table of your own, or None
    mapping : of its columns and words, or None
    images : folders
    beside : other bundles or checkpoints by name
    only : of `suite.PARTS`; empty for all
    epochs, learning_rate : in place of the preset's
    ranks : processes that evaluate together, each on its own `device`; the first one writes
    skip_unreadable : bool
        Leave out missing and damaged images; they are refused otherwise.
    """

    bundle: Path
    vindr: Path | None = None
    rsna: Path | None = None
    reports: Path | None = None
    table: Path | None = None
    mapping: TableMapping | None = None
    images: tuple[Path, ...]
    out: Path
    beside: Mapping[str, Path] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    preset: str = Preset.PAPER
    epochs: int | None = None
    learning_rate: float | None = None
    percents: tuple[int, ...] = ALL_PERCENTS
    repeats: int = REPEATS
    seed: int = 10
    device: str = "cpu"
    workers: int = 0
    ranks: Ranks = ALONE
    skip_unreadable: bool = False
    say: Say = lambda words: None


def evaluate(order: EvaluationOrder) -> EvaluationReport:
    """Run the suite as ordered; features are kept in the folder, so that a second run is quick.

    Raises
    ------
    CoreError
        A bundle, a table or an image is of no use; the message says why.
    """
    cache = order.out / "features"
    say = order.say if order.ranks.is_first else NOTHING_SAID
    # What can be refused at once is, before pictures are read, which may take hours.
    parts = order.only or PARTS
    require_known(parts)
    require_writable(order.out)
    bundle = opened(order.bundle, cache, order.ranks)
    manifest = read_manifest(bundle)
    beside = {name: opened(path, cache, order.ranks) for name, path in order.beside.items()}
    for other in beside.values():
        read_manifest(other)
    sets: dict[DataSet, LabelledImages] = {}
    given_tables = (
        (DataSet.VINDR, order.vindr, None),
        (DataSet.RSNA, order.rsna, None),
        (DataSet.OWN, order.table, order.mapping),
    )
    for expected, table, mapping in given_tables:
        if table is None:
            continue
        data = read_labelled(
            table,
            order.images,
            order.seed,
            may_be_missing=order.skip_unreadable,
            mapping=mapping,
        )
        if data.data is not expected:
            raise TableError(f"{table} is not a table of {expected}")
        sets[expected] = data.with_usable_pictures(skip=order.skip_unreadable, say=say)
    reports = None
    if order.reports is not None and RETRIEVAL in parts:
        reports = read_judged_reports(
            order.reports, order.images, skip_unreadable=order.skip_unreadable, say=say
        )
    given = SuiteInput(
        bundle=bundle,
        manifest=manifest,
        sets=sets,
        folders=order.images,
        reports=reports,
        out=order.out,
        cache=cache,
        preset=Preset(order.preset),
        epochs=order.epochs,
        learning_rate=order.learning_rate,
        percents=order.percents,
        repeats=order.repeats,
        seed=order.seed,
        machine=Machine(device=order.device, workers=order.workers, ranks=order.ranks),
        skip_unreadable=order.skip_unreadable,
        say=say,
    )
    return run_suite(given, beside, parts)
