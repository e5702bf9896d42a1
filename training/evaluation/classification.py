"""Zero-shot answers, linear probes and fine-tunes of the paper's tasks, judged in both ways."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from mammoclip_core.bundles.tensors import read_prompts
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import TEMPERED_SCORING, FindingEntry
from training.data.table_mapping import UNKNOWN
from training.downstream.calibration import calibrated_scores
from training.downstream.cases import Protocol, cases_of, divide
from training.downstream.head_results import WHOLE, head_result
from training.downstream.head_training import run_facts, train_head
from training.downstream.heads import Plan, TrainedHead, save_head
from training.downstream.held_out_record import record_of
from training.downstream.recipes import Training
from training.downstream.task_figures import (
    TaskResult,
    curves_of,
    figures_of,
    joined,
    subgroups_of,
)
from training.downstream.tasks import Task
from training.errors import SettingsError
from training.evaluation.suite_input import SuiteInput
from training.learning.run_state import RunState
from training.measures.figures import Figure

ZERO_SHOT: Final = "zero-shot"


def zero_shot(given: SuiteInput, task: Task) -> TaskResult:
    """Judge what the bundle's prompts say, without any training.

    As published: softmax over plain cosines, each annotation row a case. Honest: the score that
    the bundle gives, each image a case, or the mean of a breast's images.
    """
    entry = next((item for item in given.manifest.findings if item.name == task.label), None)
    if entry is None or not entry.prompts:
        return TaskResult(figures=[_no_figure(task, ZERO_SHOT, "the bundle has no prompts for it")])
    data = given.sets[task.data]
    prompts = read_prompts(given.bundle, given.manifest)[entry.name]
    cosines = given.features(data).embeddings.astype(np.float64) @ prompts.T.astype(np.float64)
    plain = softmax(cosines, axis=1)
    as_answered = _as_answered(given, entry, cosines)
    rows = divide(data, task, Protocol.PUBLISHED).test
    known = data.rows[task.label] != UNKNOWN  # another row of the same image may be unknown
    frame = data.rows[known & data.rows["image"].isin(rows.images)]
    singly = cases_of(frame, task, by_breast=False)
    test = divide(data, task, Protocol.HONEST).test
    honest = test.joined(_of(task, as_answered)[test.images])
    remark = "" if entry.own_prompts is False else "prompts of our own; none were published"
    return TaskResult(
        figures=figures_of(
            task,
            ZERO_SHOT,
            singly.joined(_of(task, plain)[singly.images]),
            honest,
            repeats=given.repeats,
            remark=remark,
        ),
        subgroups=subgroups_of(
            data,
            task,
            ZERO_SHOT,
            cases=test,
            scores=_of(task, as_answered)[test.images],
            repeats=given.repeats,
        ),
        curves=curves_of(task, ZERO_SHOT, honest, honest),
    )


def probes(given: SuiteInput, task: Task) -> TaskResult:
    """Train and judge linear probes on each share of the training part."""
    return _heads(given, task, Training.PROBE)


def fine_tunes(given: SuiteInput, task: Task) -> TaskResult:
    """Train and judge fine-tunes on each share of the training part."""
    return _heads(given, task, Training.FINE_TUNE)


def _heads(given: SuiteInput, task: Task, training: Training) -> TaskResult:
    data = given.sets[task.data]
    parts = []
    for percent in given.percents:
        heads: dict[Protocol, TrainedHead] = {}
        faults: list[str] = []
        for protocol in Protocol:
            plan = Plan(
                task=task,
                training=training,
                protocol=protocol,
                recipe=given.recipe(task, training),
                percent=percent,
                seed=given.seed,
            )
            given.say(f"{task.name}: {plan.setting}, {protocol}: {plan.recipe}")
            try:
                facts = run_facts(given.bundle, data, plan)
                heads[protocol] = train_head(
                    given.bundle,
                    data,
                    plan,
                    cache=given.cache,
                    machine=given.machine,
                    run=RunState(
                        given.run_file(facts),
                        facts,
                        given.say,
                        is_writer=given.machine.ranks.is_first,
                    ),
                )
            except SettingsError as error:
                faults.append(f"{protocol}: {error}")
        parts.append(
            head_result(
                data,
                task,
                f"{training} {percent} %",
                heads=heads,
                faults=faults,
                repeats=given.repeats,
            )
        )
        is_kept = percent == WHOLE and given.machine.ranks.is_first
        if is_kept and Protocol.HONEST in heads:
            name = f"{task.head}-{training.name.lower().replace('_', '-')}.pth"
            save_head(
                heads[Protocol.HONEST],
                given.out / "heads" / name,
                record_of(data, task.label, Protocol.HONEST),
            )
    return joined(parts)


def _as_answered(
    given: SuiteInput, entry: FindingEntry, cosines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shares of each image as a bundle gives them: tempered, calibrated."""
    is_tempered = given.manifest.scoring == TEMPERED_SCORING
    scale = np.exp(given.manifest.logit_scale) if is_tempered else 1.0
    shares: NDArray[np.float64] = softmax(cosines * scale, axis=1)
    if entry.is_class_set or entry.source is not FindingSource.PROMPT:
        return shares
    positive = calibrated_scores(shares[:, 1], entry)
    return np.stack([1 - positive, positive], axis=1)


def _of(task: Task, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns that a task is judged by: of a pair, the positive one."""
    return shares if task.is_class_set else shares[:, 1:2]


def _no_figure(task: Task, setting: str, reason: str) -> Figure:
    measure = "accuracy" if task.is_class_set else "AUROC"
    return Figure(task=task.name, setting=setting, measure=measure, remark=reason)
