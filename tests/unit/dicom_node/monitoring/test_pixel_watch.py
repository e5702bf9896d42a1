"""Pixels are compared with the first studies of a scanner, whatever bundle answered."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import numpy as np
import pytest

from dicom_node.monitoring.alarms import Alarm, Kind
from dicom_node.monitoring.observation import Observation
from dicom_node.monitoring.scanner_watch import REFERENCE, ScannerWatch
from dicom_node.monitoring.simulated_year import Plan, observations
from dicom_node.monitoring.windows import WINDOW


def noted(number: int, grey: float, *, answers: str = "", start: int = 0) -> list[Observation]:
    chance = np.random.default_rng(start)
    seen = islice(observations(Plan(scanner="A"), 1), start, start + number)
    return [
        replace(one, answers=answers, pixels={"mean_grey": grey + 0.02 * float(chance.normal())})
        for one in seen
    ]


def told(watch: ScannerWatch, seen: Iterable[Observation]) -> list[Alarm]:
    return [alarm for one in seen for alarm in watch.add(one) if alarm.kind is Kind.PIXELS]


@pytest.fixture
def watch() -> ScannerWatch:
    watch = ScannerWatch(scanner="A")
    assert told(watch, noted(REFERENCE, 0.4)) == []
    return watch


def test_change_is_told_with_both_medians(watch: ScannerWatch) -> None:
    (alarm,) = told(watch, noted(WINDOW, 0.45, start=REFERENCE))

    assert alarm.about == "mean_grey"
    assert re.match(r"mean grey of the breast: 0\.(4|40\d|39\d) before, 0\.4[45]", alarm.detail)
    assert "Kolmogorov-Smirnov" in alarm.detail


def test_images_as_before_are_not_told(watch: ScannerWatch) -> None:
    assert told(watch, noted(WINDOW, 0.4, start=REFERENCE)) == []


def test_another_bundle_leaves_the_reference_of_pixels(watch: ScannerWatch) -> None:
    assert len(told(watch, noted(WINDOW, 0.45, answers="second", start=REFERENCE))) == 1


def test_reference_that_a_person_begins_anew_is_gathered_again(watch: ScannerWatch) -> None:
    watch.restart()

    assert told(watch, noted(WINDOW, 0.45, start=REFERENCE)) == []


def test_answers_before_pixels_were_measured_are_no_reference() -> None:
    watch = ScannerWatch(scanner="A")
    unmeasured = [replace(one, pixels={}) for one in noted(REFERENCE, 0.4)]

    assert told(watch, unmeasured) == []
    moved = [replace(one, at=one.at + timedelta(weeks=8)) for one in noted(WINDOW, 0.45, start=1)]
    assert told(watch, moved) == []
