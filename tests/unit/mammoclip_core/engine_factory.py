"""Requests to an engine whose model looks where the input is brightest."""

from pathlib import Path
from typing import Any

import numpy as np
from core_factory import StandInModel, breast, manifest_with
from numpy.typing import NDArray

from mammoclip_core.analysis.engine import Engine, ImageToAnalyse, StudyRequest
from mammoclip_core.findings import EngineIdentity, StudyAnalysis

TORCH = EngineIdentity(name="torch", version="2.6.0", precision="float32")


def request_of(*paths: Path, **changes: Any) -> StudyRequest:
    """Return the request of a study of these files, numbered from 1."""
    images = tuple(
        ImageToAnalyse(
            **{
                "sop_instance_uid": f"1.2.826.0.1.3680043.8.498.{number}",
                "path": path,
                "laterality": "L",
                "view_position": "CC",
                **changes,
            }
        )
        for number, path in enumerate(paths, start=1)
    )
    return StudyRequest(study_instance_uid="1.2.3.4", images=images)


def analysis_of(*paths: Path, model: StandInModel | None = None, **changes: Any) -> StudyAnalysis:
    """Return what an engine of two images a batch says of these files."""
    model = model or StandInModel(manifest_with())
    return Engine(model, batch_size=2).analyze(request_of(*paths, **changes))


def marked(rows: int, columns: int, mark: tuple[int, int]) -> NDArray[np.uint16]:
    """Return a dim breast at the left edge with one bright square around (column, row)."""
    values = breast(rows, columns) // 4
    reach = min(rows, columns) // 16
    column, row = mark
    values[row - reach : row + reach, column - reach : column + reach] = 4000
    return values
