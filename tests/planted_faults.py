"""The worker's Celery application with a fault planted: ``celery -A planted_faults worker``.

``PLANTED_FAULT`` names it, and ``PLANTED_MARKER`` a file that says that it has happened: it does so
once. ``OVERLAP`` is no fault: the first forward pass lasts until another process wrote results.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import misbehaving_decoder
from services import wait_for

from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.images.decoding import decoding_pool
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from worker.analyze import analysis
from worker.app import app
from worker.stages import Stage, StageDeadlines

__all__ = ["app"]

FAULT = os.environ["PLANTED_FAULT"]
MARKER = Path(os.environ["PLANTED_MARKER"])
SHORT_SECONDS = 1.0
OVERLAP = "overlap"


def hangs(function: Any) -> Any:
    """Return a function that hangs when it is first called, and then no more."""

    def call(*arguments: Any, **options: Any) -> Any:
        if not MARKER.exists():
            MARKER.touch()
            time.sleep(600)
        return function(*arguments, **options)

    return call


def lasts_until_others_have_written(predict: Any) -> Any:
    """Return a forward pass that, the first time, ends after the results of another study."""

    def call(*arguments: Any, **options: Any) -> Any:
        with suppress(FileExistsError):
            MARKER.touch(exist_ok=False)
            wait_for(_written().exists, seconds=60, what="another process writes results")
        return predict(*arguments, **options)

    return call


def _written() -> Path:
    return MARKER.with_name("results-are-written")


def notes_that_they_are_written(results: Any) -> Any:
    """Return a function that writes results, and a file that says so."""

    def call(*arguments: Any, **options: Any) -> Any:
        written = results(*arguments, **options)
        _written().touch()
        return written

    return call


enter = StageDeadlines.enter


def enter_impatiently(self: StageDeadlines, stage: Stage, seconds: float) -> None:
    """Give the stage that hangs a second until it has hung; other stages of a slow machine time."""
    is_short = stage == FAULT and not MARKER.exists()
    enter(self, stage, SHORT_SECONDS if is_short else seconds)


if FAULT in set(Stage):
    StageDeadlines.enter = enter_impatiently  # type: ignore[method-assign]
if FAULT == Stage.INFERENCE:
    Predictor.predict = hangs(Predictor.predict)  # type: ignore[method-assign]
elif FAULT == Stage.DRAWING:
    analysis._results = hangs(analysis._results)
elif FAULT == OVERLAP:
    Predictor.predict = lasts_until_others_have_written(  # type: ignore[method-assign]
        Predictor.predict
    )
    analysis._results = notes_that_they_are_written(analysis._results)
else:
    decoding_pool.DecodingPool = lambda **options: DecodingPool(
        **options, program=misbehaving_decoder.command(FAULT)
    )
