"""``mammoclip-train probe`` and ``finetune``: from a bundle to a trained and judged head."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.image_encoder import PUBLISHED_PADDING
from training.bundles.bundle_copy import require_room
from training.bundles.bundle_encoder import read_image_encoder
from training.bundles.bundle_facts import bundle_facts
from training.data.augmentation import AugmentationPreset
from training.data.data_facts import facts_of_data
from training.data.table_mapping import TableMapping
from training.downstream.cases import Protocol, divide
from training.downstream.features import image_features
from training.downstream.finetune import Machine, fine_tune
from training.downstream.head_results import head_result
from training.downstream.heads import Plan, TrainedHead, save_head
from training.downstream.held_out_record import record_of
from training.downstream.labelled_images import LabelledImages, read_labelled
from training.downstream.new_bundle import with_head
from training.downstream.probe import train_probe
from training.downstream.recipes import Training, recipe_of
from training.downstream.tasks import TASKS, Task, built_in_task, own_task
from training.errors import SettingsError
from training.learning.presets import Preset
from training.learning.run_state import NOTHING_KEPT, RunState
from training.measures.figures import EvaluationReport
from training.terminal import NOTHING_SAID, Say
from training.whole_file import require_writable

HEAD_NAME: Final = "head.pth"
FEATURES_NAME: Final = "features"
RUN_NAME: Final = "unfinished.ckpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOrder:
    """One head that is to be trained.

    Attributes
    ----------
    bundle : to begin from
    head : key of `tasks.TASKS`, or a label of the mapping
    mapping : of the table's columns and words, or None
    out : folder of the head's file and its figures
    into : folder of a bundle with the head in it, or None
    epochs, learning_rate : in place of the preset's
    augmentation : of a fine-tune's images
    skip_unreadable : bool
        Leave out missing and damaged images; they are refused otherwise.
    """

    bundle: Path
    table: Path
    images: tuple[Path, ...]
    head: str
    training: Training
    out: Path
    into: Path | None = None
    mapping: TableMapping | None = None
    protocol: Protocol = Protocol.HONEST
    percent: int = 100
    preset: Preset = Preset.PAPER
    epochs: int | None = None
    learning_rate: float | None = None
    seed: int = 10
    augmentation: AugmentationPreset = "paper"
    skip_unreadable: bool = False
    machine: Machine = field(default_factory=Machine)
    say: Say = lambda words: None


def make_head(order: HeadOrder) -> EvaluationReport:
    """Train a head, judge it on the test part, and write its file, figures and bundle.

    Raises
    ------
    CoreError
        The bundle, the table or an image is of no use; the message says why.
    """
    own_labels = order.mapping.labels if order.mapping else {}
    known = {**TASKS, **own_labels}
    if order.head not in known:
        raise SettingsError(
            f"there is no task {order.head!r}: choose one of {', '.join(known)}; --mapping makes "
            "other labels of a table tasks (docs/researchers.md)"
        )
    if order.into is not None and built_in_task(order.head, own_labels) is None:
        raise SettingsError(
            f"--into: a bundle answers {', '.join(task.label for task in TASKS.values())}, and not "
            f"the label {order.head}: call the label one of these in the mapping if it means the "
            "same, or leave --into out and calibrate the head with `mammoclip-train calibrate "
            "--head`"
        )
    if order.into is not None:
        require_room(order.into, order.out)
    require_writable(order.out)
    manifest = read_manifest(order.bundle)
    data = read_labelled(
        order.table,
        order.images,
        order.seed,
        may_be_missing=order.skip_unreadable,
        mapping=order.mapping,
    )
    ranks = order.machine.ranks
    say = order.say if ranks.is_first else NOTHING_SAID
    data = data.with_usable_pictures(skip=order.skip_unreadable, say=say)
    task = _task_of(order.head, data)
    plan = Plan(
        task=task,
        training=order.training,
        protocol=order.protocol,
        recipe=recipe_of(
            order.preset,
            task.data,
            order.training,
            epochs=order.epochs,
            learning_rate=order.learning_rate,
        ),
        percent=order.percent,
        seed=order.seed,
        augmentation=order.augmentation,
    )
    say(f"{task.name}: {plan.setting}, {plan.protocol}: {plan.recipe}")
    facts = run_facts(order.bundle, data, plan)
    run = RunState(order.out / RUN_NAME, facts, say, is_writer=ranks.is_first)
    head = train_head(
        order.bundle, data, plan, cache=order.out / FEATURES_NAME, machine=order.machine, run=run
    )
    if ranks.is_first:
        record = record_of(data, task.label, order.protocol)
        save_head(head, order.out / HEAD_NAME, record)
    report = EvaluationReport(
        made_with={
            **bundle_facts(manifest),
            "table": f"{order.table.name}, {len(data.images)} images",
            "recipe": f"{order.preset}, {plan.protocol}: {plan.recipe}",
            **(
                {"augmentation": order.augmentation} if order.training is Training.FINE_TUNE else {}
            ),
        },
        figures=head_result(data, task, plan.setting, heads={plan.protocol: head}).figures,
    )
    if ranks.is_first:
        report.write(order.out)
        if order.into is not None:
            with_head(order.bundle, order.head, order.out / HEAD_NAME, order.into, record)
        run.forget()
    return report


def _task_of(head: str, data: LabelledImages) -> Task:
    task = built_in_task(head, data.labels)
    if task is not None:
        if data.data is task.data:
            return task
        # Nothing published is about this table.
        return replace(task, name=f"{task.label} of {data.table.name}", data=data.data)
    data.require(head)
    return own_task(head, data.table.name, data.labels[head])


def train_head(
    bundle: Path,
    data: LabelledImages,
    plan: Plan,
    *,
    cache: Path,
    machine: Machine | None = None,
    run: RunState = NOTHING_KEPT,
) -> TrainedHead:
    """Train one head as planned.

    Parameters
    ----------
    bundle : folder of the bundle whose encoder the head is trained on
    cache : folder of pooled features, which a probe learns from
    run : of a fine-tune, which goes on after the last epoch that was kept; a probe takes minutes

    Raises
    ------
    SettingsError
        Nothing can be learnt from the training part, or no head can be written for the encoder.
    """
    machine = machine or Machine()
    encoder, manifest = read_image_encoder(bundle)
    if manifest.encoders[0].padding != PUBLISHED_PADDING:
        raise SettingsError(
            f"{bundle}: heads are for encoders of published padding, it pads "
            f"{manifest.encoders[0].padding}"
        )
    division = divide(data, plan.task, plan.protocol, plan.percent, plan.seed)
    if plan.training is Training.PROBE:
        known = image_features(
            bundle, data.files, cache, device=machine.device, ranks=machine.ranks
        )
        return train_probe(encoder, known.features, division, plan)
    return fine_tune(
        encoder, data.files, manifest.preprocessing, division, plan, machine=machine, run=run
    )


def run_facts(bundle: Path, data: LabelledImages, plan: Plan) -> dict[str, str]:
    """Return what a head's training depends on: a killed run with others is not taken up."""
    manifest = read_manifest(bundle)
    said = [data.rows.to_csv(), data.images.to_csv(), dict(data.labels)]
    return {
        "bundle": manifest.weights_sha256,
        **facts_of_data(data.files, said, manifest.preprocessing),
        "task": plan.task.name,
        "setting": f"{plan.setting}, {plan.protocol}",
        "recipe": str(plan.recipe),
        "augmentation": plan.augmentation,
        "seed": str(plan.seed),
    }
