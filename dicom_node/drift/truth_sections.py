"""The parts of the monthly report that need truth: agreement with readers, and calibration."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from dicom_node.drift.report_section import Section, shown_share
from dicom_node.monitoring.agreement import Share, agreement, auc_interval
from dicom_node.monitoring.intervals import poisson_rate
from dicom_node.studies.ledger.monitoring.truths import KnownAnswer

_NO_TRUTH: Final = (
    "No truth is known of this time: keep a table of it with 'mammoclip-node assessments', or name "
    "one with --truth. Without truth neither accuracy nor calibration can be told."
)
_OF_THOSE: Final = (
    "Only of studies whose truth is known: if that is looked for where something was flagged, "
    "sensitivity is too high and specificity too low."
)
_GROUPS: Final = 5


def readers_section(truth: Sequence[KnownAnswer], decisions: Counter[str]) -> Section:
    """Say how answers agree with truth and with readers, each with its 95 % interval."""
    rows = [
        (f"findings {decision} by readers", shown_share(Share(count=count, of=decisions.total())))
        for decision, count in sorted(decisions.items())
    ]
    if truth:
        rows += _agreement(truth)
    return Section(
        title="10. Agreement with readers",
        note=_OF_THOSE if truth else _NO_TRUTH,
        columns=("measure", "value") if rows else (),
        rows=tuple(rows),
    )


def calibration_section(truth: Sequence[KnownAnswer], *, is_calibrated: bool) -> Section:
    """Say how far scores are the shares of cancers that were seen, fifth by fifth."""
    title = "11. Calibration"
    if not truth:
        return Section(title=title, note=_NO_TRUTH)
    ordered = sorted(truth, key=lambda one: one.score)
    size = max(-(-len(ordered) // _GROUPS), 1)
    rows = [
        _compared(f"part {number} of 5", part)
        for number, part in enumerate(
            (ordered[at : at + size] for at in range(0, len(ordered), size)), 1
        )
    ]
    scores = np.array([one.score for one in truth])
    ill = np.array([one.is_ill for one in truth], dtype=float)
    rows.append(_compared("all", ordered))
    rows.append(("Brier score", str(len(truth)), f"{((scores - ill) ** 2).mean():.4f}", "", ""))
    note = (
        "Expected over observed outside of 0.8 to 1.25 needs a look."
        if is_calibrated
        else "The scores of this bundle are not calibrated: they are no probabilities, and need "
        "not agree with what was seen."
    )
    columns = ("scores", "studies", "mean score", "cancers", "expected / observed")
    return Section(title=title, note=f"{note} {_OF_THOSE}", columns=columns, rows=tuple(rows))


def _agreement(truth: Sequence[KnownAnswer]) -> Iterator[tuple[str, str]]:
    found = agreement(
        [one.flagged for one in truth],
        [one.score for one in truth],
        [one.is_ill for one in truth],
    )
    yield "studies whose truth is known", str(len(truth))
    days = [one.days for one in truth if one.days is not None]
    if days:
        yield "days until it was known, median", f"{np.median(days):.0f}"
    yield "sensitivity", shown_share(found.sensitivity)
    yield "specificity", shown_share(found.specificity)
    yield "positive predictive value", shown_share(found.predictive_value)
    yield "flagged", shown_share(found.recall)
    low, high = found.detection.interval
    yield (
        "cancers found of 1000 studies",
        f"{1000 * (found.detection.value or 0.0):.1f} ({1000 * low:.1f} to {1000 * high:.1f})",
    )
    if found.auc is None:
        yield "AUC", "-"
    else:
        ill = found.sensitivity.of
        low, high = auc_interval(found.auc, ill, len(truth) - ill)
        yield "AUC", f"{found.auc:.3f} ({low:.3f} to {high:.3f})"


def _compared(name: str, part: Sequence[KnownAnswer]) -> tuple[str, str, str, str, str]:
    expected = sum(one.score for one in part)
    observed = sum(one.is_ill for one in part)
    low, high = poisson_rate(observed, 1.0)
    ratio = "-"
    if observed:
        ratio = f"{expected / observed:.2f} ({expected / high:.2f} to {expected / low:.2f})"
    seen = shown_share(Share(count=observed, of=len(part)))
    return name, str(len(part)), f"{expected / len(part):.4f}", seen, ratio
