"""A worker whose model only takes time, as one on a GPU does; all the rest is the worker's own.

The first answer to some images is computed and kept: later ones wait, and give it again.
"""

import hashlib
import os
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.engines import choice
from mammoclip_core.prediction import Prediction
from worker import app

SECONDS_VARIABLE = "WAITING_WORKER_SECONDS"
"""What the model takes for a study of four images."""

_IMAGES = 4

_load_engine = choice.load_engine


class WaitingModel:
    """Gives the answers of a model, after a time in which it computes nothing."""

    def __init__(self, model: Any, seconds_an_image: float) -> None:
        self.manifest = model.manifest
        self._model = model
        self._seconds = seconds_an_image
        self._answers: dict[bytes, list[Prediction]] = {}

    def predict(self, batch: NDArray[np.float32]) -> list[Prediction]:
        """Answer for (B, 3, H, W) images."""
        began = time.monotonic()
        # The three channels are one and the same memory.
        key = hashlib.sha256(np.ascontiguousarray(batch[:, 0])).digest()
        if key not in self._answers:
            self._answers[key] = list(self._model.predict(batch))
        time.sleep(max(self._seconds * len(batch) - (time.monotonic() - began), 0))
        return self._answers[key]


def load_engine(*arguments: Any, **options: Any) -> Any:
    """Load the engine, and let its model wait."""
    engine = _load_engine(*arguments, **options)
    engine._model = WaitingModel(engine._model, float(os.environ[SECONDS_VARIABLE]) / _IMAGES)
    return engine


if __name__ == "__main__":
    choice.load_engine = load_engine
    app.worker_main(sys.argv[1:])
