"""The command line where libraries of training are missing: it helps, and names the extra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "torch", "torchvision", "timm", "transformers", "lightning", "pandas", "scipy",
            "sklearn", "matplotlib",
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""
COMMANDS = [
    "phantoms",
    "prepare",
    "back-translate",
    "pretrain",
    "probe",
    "finetune",
    "calibrate",
    "factor",
    "detect",
    "evaluate",
]


@pytest.fixture
def run_without_libraries(tmp_path):
    """Return a function that runs mammoclip-train in a Python without training's libraries."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "training.commands.train", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_library_of_training(run_without_libraries, command):
    done = run_without_libraries(command, "--help")

    assert done.returncode == 0, done.stderr
    assert f"mammoclip-train {command}" in done.stdout
    assert "Traceback" not in done.stderr


def test_help_of_pretrain_names_the_extra_that_lists_its_settings(run_without_libraries):
    done = run_without_libraries("pretrain", "--help")

    (line,) = done.stderr.strip().splitlines()
    assert "pip install '.[training]'" in line


@pytest.mark.parametrize(
    "arguments",
    [
        "pretrain --config b5",
        "prepare . --table t.csv --out prepared",
        "back-translate t.csv --forward a --backward b --out o.csv",
        "probe --task mass --bundle . --table t.csv --images . --out out",
        "finetune --task mass --bundle . --table t.csv --images . --out out",
        "calibrate . --table t.csv --images . --out out",
        "factor --bundle . --table t.csv --images . --out out",
        "detect --bundle . --table t.csv --images . --out out",
        "evaluate --bundle . --images . --out out",
    ],
)
def test_missing_library_is_named_with_its_extra_in_one_line(
    run_without_libraries, arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("image_id,mass\n")

    done = run_without_libraries(*arguments.split())

    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert line.startswith("mammoclip-train: ")
    assert "pip install '.[training]'" in line
