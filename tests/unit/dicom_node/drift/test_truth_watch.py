"""What is due to chance, and what is not, among answers whose truth is known."""

from datetime import UTC, datetime

import pytest

from dicom_node.drift.truth_watch import calibration_alarm, share_of
from dicom_node.monitoring.agreement import auc_interval
from dicom_node.studies.ledger.monitoring.truths import KnownAnswer

NOW = datetime(2026, 3, 30, tzinfo=UTC)


def known(*pairs: tuple[float, bool], flagged: bool = True) -> list[KnownAnswer]:
    return [
        KnownAnswer(at=NOW, scanner="A", flagged=flagged, score=score, is_ill=is_ill)
        for score, is_ill in pairs
    ]


@pytest.mark.parametrize(
    ("expected", "observed", "is_told"),
    [(10.0, 10, False), (14.0, 10, False), (25.0, 10, True), (3.0, 10, True), (0.0, 0, False)],
)
def test_chance_is_no_alarm(expected: float, observed: int, is_told: bool) -> None:
    cases = known(*((expected / 100, number < observed) for number in range(100)))

    assert (calibration_alarm(cases, now=NOW) is not None) == is_told


def test_interval_of_an_auc_is_that_of_hanley_and_mcneil() -> None:
    # Their example (Radiology 143, 1982): area 0.893, 51 ill, 58 well, standard error 0.032.
    low, high = auc_interval(0.893, 51, 58)

    assert (high - low) / 2 / 1.959964 == pytest.approx(0.032, abs=0.001)


def test_nothing_is_no_share() -> None:
    assert share_of("sensitivity", []).of == 0
