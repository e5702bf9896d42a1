"""Zero-shot answers, linear probes and fine-tunes of the paper's tasks, judged in both ways."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.analysis.interpretation import calibrated
from mammoclip_core.bundles.tensors import read_prompts
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import TEMPERED_SCORING, FindingEntry
from mammoclip_core.networks.image_encoder import PUBLISHED_PADDING
from training.bundles.bundle_encoder import read_image_encoder
from training.downstream.calibration import platt
from training.downstream.cases import Judged, Protocol, cases_of, divide
from training.downstream.finetune import fine_tune
from training.downstream.heads import Plan, TrainedHead, save_head
from training.downstream.labelled_images import LabelledImages
from training.downstream.probe import train_probe
from training.downstream.recipes import Training
from training.downstream.tasks import Task
from training.errors import SettingsError
from training.evaluation.outcome import CALIBRATION, Outcome, figures_of, subgroups_of
from training.evaluation.plots import Curve, Curves
from training.evaluation.suite_input import SuiteInput
from training.measures.figures import Figure
from training.measures.intervals import bootstrap
from training.measures.score_measures import expected_calibration_error

ZERO_SHOT: Final = "zero-shot"
_WHOLE: Final = 100


def zero_shot(given: SuiteInput, task: Task) -> Outcome:
    """Judge what the bundle's prompts say, without any training.

    As published: softmax over plain cosines, each annotation row a case. Honest: the score that
    the bundle gives, each image a case, or the mean of a breast's images.
    """
    entry = next((item for item in given.manifest.findings if item.name == task.label), None)
    if entry is None or not entry.prompts:
        return Outcome(figures=[_untold(task, ZERO_SHOT, "the bundle has no prompts for it")])
    data = given.sets[task.data]
    prompts = read_prompts(given.bundle, given.manifest)[entry.name]
    cosines = given.features(data).embeddings.astype(np.float64) @ prompts.T.astype(np.float64)
    plain = _softmax(cosines)
    as_answered = _as_answered(given, entry, cosines)
    rows = divide(data, task, Protocol.PUBLISHED).test
    frame = data.rows[data.rows["image"].isin(rows.images)]
    singly = cases_of(frame, task, by_breast=False)
    test = divide(data, task, Protocol.HONEST).test
    honest = test.joined(_of(task, as_answered)[test.images])
    remark = "" if entry.own_prompts is False else "prompts of our own; none were published"
    return Outcome(
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
        curves=_curves(task, ZERO_SHOT, honest, honest),
    )


def probes(given: SuiteInput, task: Task) -> Outcome:
    """Train and judge linear probes on each share of the training part."""
    return _heads(given, task, Training.PROBE)


def fine_tunes(given: SuiteInput, task: Task) -> Outcome:
    """Train and judge fine-tunes on each share of the training part."""
    return _heads(given, task, Training.FINE_TUNE)


def train_head(given: SuiteInput, data: LabelledImages, plan: Plan) -> TrainedHead:
    """Train one head as planned.

    Raises
    ------
    SettingsError
        Nothing can be learnt from the training part, or no head can be written for the encoder.
    """
    encoder, manifest = read_image_encoder(given.bundle)
    if manifest.encoders[0].padding != PUBLISHED_PADDING:
        raise SettingsError(
            f"{given.bundle}: heads are for encoders of published padding, it pads "
            f"{manifest.encoders[0].padding}"
        )
    division = divide(data, plan.task, plan.protocol, plan.percent, plan.seed)
    if plan.training is Training.PROBE:
        return train_probe(encoder, given.features(data).features, division, plan)
    return fine_tune(
        encoder, data.files, manifest.preprocessing, division, plan, machine=given.machine
    )


def _heads(given: SuiteInput, task: Task, training: Training) -> Outcome:
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
                heads[protocol] = train_head(given, data, plan)
            except SettingsError as error:
                faults.append(f"{protocol}: {error}")
        parts.append(told(given, data, task, f"{training} {percent} %", heads=heads, faults=faults))
        if percent == _WHOLE and Protocol.HONEST in heads:
            name = f"{task.head}-{training.name.lower().replace('_', '-')}.pth"
            save_head(heads[Protocol.HONEST], given.out / "heads" / name)
    return joined(parts)


def told(
    given: SuiteInput,
    data: LabelledImages,
    task: Task,
    setting: str,
    *,
    heads: Mapping[Protocol, TrainedHead],
    faults: Sequence[str] = (),
) -> Outcome:
    """Judge the heads of one setting, one a protocol; faults are remarks on the others."""
    judged = {
        protocol: head.division.test.joined(head.test_scores) for protocol, head in heads.items()
    }
    remarks = [
        f"{protocol}: epoch {head.fitted.epoch + 1} of {head.plan.recipe.epochs}, "
        f"{len(head.division.training)} rows"
        for protocol, head in heads.items()
    ]
    figures = figures_of(
        task,
        setting,
        judged.get(Protocol.PUBLISHED),
        judged.get(Protocol.HONEST),
        repeats=given.repeats,
        remark="; ".join([*remarks, *faults]),
    )
    head = heads.get(Protocol.HONEST)
    if head is None:
        return Outcome(figures=figures)
    shown = judged[Protocol.HONEST]
    fitted = None if task.is_class_set else _calibrated(head, shown)
    if fitted is not None:
        figures.append(
            Figure(
                task=task.name,
                setting=setting,
                measure=f"{CALIBRATION}, calibrated",
                honest=bootstrap(
                    expected_calibration_error,
                    fitted.labels,
                    fitted.scores[:, 0],
                    groups=fitted.patients.astype(str),
                    repeats=given.repeats,
                ),
                remark="Platt scaling fitted on the patients that chose the epoch",
            )
        )
    whole = setting.endswith(f" {_WHOLE} %")
    return Outcome(
        figures=figures,
        subgroups=subgroups_of(
            data,
            task,
            setting,
            cases=head.division.test,
            scores=head.test_scores,
            repeats=given.repeats,
        )
        if whole
        else (),
        curves=_curves(task, setting, shown, fitted or shown) if whole else {},
    )


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Return what several parts have to say as one."""
    return Outcome(
        figures=[figure for part in parts for figure in part.figures],
        subgroups=[one for part in parts for one in part.subgroups],
        curves={setting: curve for part in parts for setting, curve in part.curves.items()},
    )


def _calibrated(head: TrainedHead, judged: Judged) -> Judged | None:
    """Calibrate on what chose the epoch; None where it lacks one of the classes."""
    known = head.division.choice.joined(head.choice_scores)
    if len(np.unique(known.labels)) < 2:
        return None
    entry = FindingEntry(
        name=head.plan.task.label,
        code="",
        source=FindingSource.HEAD,
        calibration=platt(known.labels, known.scores[:, 0]),
    )
    return replace(judged, scores=_each_calibrated(judged.scores[:, 0], entry)[:, None])


def _as_answered(
    given: SuiteInput, entry: FindingEntry, cosines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shares of each image as a bundle gives them: tempered, calibrated."""
    is_tempered = given.manifest.scoring == TEMPERED_SCORING
    shares = _softmax(cosines * np.exp(given.manifest.logit_scale) if is_tempered else cosines)
    if entry.is_class_set or entry.source is not FindingSource.PROMPT:
        return shares
    positive = _each_calibrated(shares[:, 1], entry)
    return np.stack([1 - positive, positive], axis=1)


def _each_calibrated(scores: NDArray[np.float64], entry: FindingEntry) -> NDArray[np.float64]:
    return np.array([calibrated(float(score), entry) for score in scores])


def _of(task: Task, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns that a task is judged by: of a pair, the positive one."""
    return shares if task.is_class_set else shares[:, 1:2]


def _curves(task: Task, setting: str, judged: Judged, fitted: Judged) -> Curves:
    if task.is_class_set:
        return {}
    curve = Curve(
        labels=judged.labels.astype(bool),
        scores=judged.scores[:, 0],
        probabilities=fitted.scores[:, 0],
    )
    return {setting: curve}


def _untold(task: Task, setting: str, reason: str) -> Figure:
    measure = "accuracy" if task.is_class_set else "AUROC"
    return Figure(task=task.name, setting=setting, measure=measure, remark=reason)


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
