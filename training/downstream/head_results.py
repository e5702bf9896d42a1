"""What trained heads are worth on the test part, by both protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import FindingEntry
from training.downstream.calibration import calibrated_scores, platt
from training.downstream.cases import Judged, Protocol
from training.downstream.heads import TrainedHead
from training.downstream.labelled_images import LabelledImages
from training.downstream.task_figures import (
    CALIBRATION,
    TaskResult,
    curves_of,
    figures_of,
    subgroups_of,
)
from training.downstream.tasks import Task
from training.measures.figures import Figure
from training.measures.intervals import REPEATS, bootstrap
from training.measures.score_measures import expected_calibration_error

WHOLE: Final = 100
"""Percent of the training part: subgroups and curves are of heads trained on all of it."""


def head_result(
    data: LabelledImages,
    task: Task,
    setting: str,
    *,
    heads: Mapping[Protocol, TrainedHead],
    faults: Sequence[str] = (),
    repeats: int = REPEATS,
) -> TaskResult:
    """Judge the heads of one setting, one a protocol.

    Parameters
    ----------
    setting : ends with the share of the training part, in percent
    faults : why a protocol has no head; they are added to the remark
    repeats : draws of each bootstrap
    """
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
        repeats=repeats,
        remark="; ".join([*remarks, *faults]),
    )
    head = heads.get(Protocol.HONEST)
    if head is None:
        return TaskResult(figures=figures)
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
                    repeats=repeats,
                ),
                remark="Platt scaling fitted on the patients that chose the epoch",
            )
        )
    whole = setting.endswith(f" {WHOLE} %")
    return TaskResult(
        figures=figures,
        subgroups=subgroups_of(
            data,
            task,
            setting,
            cases=head.division.test,
            scores=head.test_scores,
            repeats=repeats,
        )
        if whole
        else (),
        curves=curves_of(task, setting, shown, fitted or shown) if whole else {},
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
    return replace(judged, scores=calibrated_scores(judged.scores[:, 0], entry)[:, None])
