"""Fixtures of the core's tests: a bundle of random weights, files to read."""

import os
from pathlib import Path
from typing import Any

import pytest
from core_factory import WriteInstance, mammogram, save
from numpy.typing import NDArray
from random_bundle import make_random_bundle

WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "transformers"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random")
    make_random_bundle(folder)
    return folder


@pytest.fixture
def write_instance(tmp_path: Path) -> WriteInstance:
    """Write a mammogram of some values to a new file."""

    def write(values: NDArray[Any], **attributes: Any) -> Path:
        number = len(list(tmp_path.glob("*.dcm")))
        attributes.setdefault("SOPInstanceUID", f"1.2.826.0.1.3680043.8.498.{number + 1}")
        return save(mammogram(values, **attributes), tmp_path / f"{number}.dcm")

    return write


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Environment of a Python in which torch and its companions cannot be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_TORCH)
    paths = [str(tmp_path / "site"), str(Path(__file__).parents[3])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
