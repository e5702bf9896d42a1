"""How fast late answers use up what a service level allows, window by window."""

from datetime import timedelta

import pytest

from dicom_node.monitoring.burn_rate import WINDOWS, Given, burns


def given(*late: bool, minutes: float = 1.0) -> list[Given]:
    return [Given(ago=timedelta(minutes=minutes), is_late=one) for one in late]


def test_burn_rate_is_the_late_share_over_the_budget() -> None:
    found = burns(given(*[True] * 3, *[False] * 7), 0, on_time=0.99)

    assert {name: burn.rate for name, burn in found.items()} == pytest.approx(
        dict.fromkeys(WINDOWS, 30.0)
    )


def test_answer_counts_in_the_windows_that_it_lies_in() -> None:
    found = burns(given(True, minutes=40.0) + given(False, minutes=200.0), 0, on_time=0.99)

    assert {name: (burn.answers, burn.late) for name, burn in found.items()} == {
        "5m": (0, 0),
        "30m": (0, 0),
        "1h": (1, 1),
        "6h": (2, 1),
    }
    assert found["5m"].rate == 0.0


def test_study_that_waits_too_long_burns_in_every_window() -> None:
    found = burns([], 4, on_time=0.95)

    assert {(burn.answers, burn.late) for burn in found.values()} == {(4, 4)}
    assert found["5m"].rate == pytest.approx(20.0)
