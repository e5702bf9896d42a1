"""Thresholds for new equipment, stop rules, and measures against truth."""

from datetime import date, timedelta

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from dicom_node.monitoring.agreement import agreement
from dicom_node.monitoring.alignment import proposed_threshold
from dicom_node.monitoring.stop_rule import DayOfAnswers, stop_rule
from dicom_node.settings.operation.monitoring import MonitoringSettings


def test_proposal_brings_the_flag_rate_back_to_the_references() -> None:
    random = np.random.default_rng(1)
    reference, new = random.normal(size=5000), random.normal(0.6, 1.3, size=1500)
    squeezed = [1 / (1 + np.exp(-one)) for one in (reference, new)]
    present = float(np.quantile(squeezed[0], 0.87))

    proposal = proposed_threshold("cancer", squeezed[1].tolist(), squeezed[0].tolist(), present)

    assert proposal.before / 1500 > 0.28
    assert proposal.after / 1500 == pytest.approx(0.13, abs=0.001)
    # The monotone map of one distribution to the other has this at the threshold.
    quantile = stats.norm(0.6, 1.3).ppf(0.87)
    assert proposal.threshold == pytest.approx(1 / (1 + np.exp(-quantile)), abs=0.02)


def test_equal_scores_leave_the_threshold_where_it_flags_as_many() -> None:
    scores = np.random.default_rng(2).random(2000).tolist()

    proposal = proposed_threshold("cancer", scores, scores, 0.9)

    assert (proposal.before, proposal.after) == (proposal.reference, proposal.reference)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_reference_that_flags_none_or_all_has_a_threshold_of_the_same(share: float) -> None:
    scores = np.random.default_rng(2).random(1000).tolist()

    proposal = proposed_threshold("cancer", scores, scores, 1.0 - share)

    assert proposal.after == share * 1000


def test_too_few_answers_have_no_proposal() -> None:
    with pytest.raises(ValueError, match="999 answers of this equipment"):
        proposed_threshold("cancer", [0.5] * 999, [0.5] * 5000, 0.4)


def days(*shares: float, answers: int = 40) -> list[DayOfAnswers]:
    return [
        DayOfAnswers(
            day=date(2026, 3, 2) + timedelta(days=number),
            answers=answers,
            counted={"flag_rate": round(share * answers)},
        )
        for number, share in enumerate(shares)
    ]


def test_stop_rule_is_met_after_so_many_days_in_a_row() -> None:
    rule = stop_rule("flag_rate > 0.25 for 3 days")

    assert rule.met_by(days(0.3, 0.3, 0.2, 0.3, 0.3, 0.3)) == date(2026, 3, 7)
    assert rule.met_by(days(0.3, 0.3, 0.2, 0.3, 0.3)) is None
    assert rule.in_words() == "flag_rate > 0.25 for 3 days"


def test_days_with_few_answers_count_neither_way() -> None:
    rule = stop_rule("flag_rate > 0.25 for 2 days")

    found = [*days(0.3), *days(0.0, 0.0, answers=3), *days(0.3)]
    assert rule.met_by(found) is not None


@pytest.mark.parametrize(
    "sentence",
    ["", "flag_rate > 0.25", "recall > 0.2 for 3 days", "flag_rate > 25 for 3 days",
     "flag_rate > 0.25 for 0 days", "flag_rate >= 0.2 for 3 days", "__import__ > 0.1 for 1 day"],
)  # fmt: skip
def test_what_is_no_stop_rule_is_refused(sentence: str) -> None:
    with pytest.raises(ValidationError, match="write for example"):
        MonitoringSettings(stop_when=sentence)


def test_agreement_is_what_counting_by_hand_gives() -> None:
    flagged = [True, True, False, False, True]
    scores = [0.9, 0.6, 0.4, 0.1, 0.6]
    truth = [True, False, True, False, True]

    found = agreement(flagged, scores, truth)

    assert (found.sensitivity.count, found.sensitivity.of) == (2, 3)
    assert (found.specificity.count, found.specificity.of) == (1, 2)
    assert (found.predictive_value.value, found.recall.value) == (2 / 3, 3 / 5)
    assert found.auc == pytest.approx((2 + 1 + 1.5) / 6)
    assert found.expected_to_observed == pytest.approx(2.6 / 3)
