"""Long commands go on after kill -9, and two processes of torchrun end with what one makes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from phantom_bundle import phantom_tables, small_bundle
from safetensors.torch import load_file

__all__ = ["phantom_tables", "small_bundle"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

ROOT: Final = Path(__file__).parents[4]
DYING: Final = """
import os, signal, sys
import numpy as np
from training.downstream import features
from training.factor import feature_maps
from training.learning.run_state import RunState

def killing(function, number, calls=[]):
    def dying(*arguments, **further):
        result = function(*arguments, **further)
        calls.append(function)
        if calls.count(function) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return dying

features._PART = 8
if sys.argv[1] == "features":
    np.savez = killing(np.savez, 3)
elif sys.argv[1] == "maps":
    feature_maps._write = killing(feature_maps._write, 2)
elif sys.argv[1] != "none":
    RunState.keep = killing(RunState.keep, int(sys.argv[1]))
del sys.argv[1]
from training.commands.train import main
main()
"""
"""Runs a command and ends it by kill -9: at a part of the features or maps, or after an epoch."""

COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "probe": ("probe", "--task", "mass", "--epochs", "2"),
    "factor": ("factor", "--epochs", "2", "--clean"),
    "detect": ("detect", "--finding", "mass", "--epochs", "2"),
    "evaluate": (
        *("evaluate", "--epochs", "2", "--percent", "100", "--repeats", "20"),
        *("--only", "zero-shot", "--only", "probe", "--only", "finetune", "--only", "localisation"),
        *("--only", "detection", "--only", "retrieval"),
    ),
}


def arguments_of(name: str, tables: Path, bundle: Path, out: Path) -> list[str]:
    findings = str(tables / "finding_annotations.csv")
    given = ["--vindr", findings, "--reports", str(tables / "image_text.csv")]
    table = given if name == "evaluate" else ["--table", findings]
    images = ["--images", str(tables / "png"), "--out", str(out)]
    return [*COMMANDS[name], "--bundle", str(bundle), *table, *images]


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command],
        env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of the weights that lie in a folder."""
    found = {}
    for file in sorted([*out.rglob("*.pth"), *out.rglob("factor.safetensors")]):
        own = load_file(file) if file.suffix == ".safetensors" else torch.load(file, mmap=True)
        state = own.get("model", own.get("state_dict", own))
        name = str(file.relative_to(out))
        found |= {f"{name} {key}": value for key, value in state.items()}
    assert found
    return found


def figures_of(out: Path) -> Any:
    report = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return [
        (row["task"], row["setting"], row["measure"], (row["honest"] or {}).get("value"))
        for row in report["figures"]
    ]


@pytest.fixture(scope="module")
def given(phantom_tables: Path, small_bundle: Path) -> tuple[Path, Path]:
    """Return what every command is given: tables with pictures, and a bundle."""
    return phantom_tables, small_bundle


@pytest.fixture(scope="module")
def whole(
    given: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return what makes a command's folder, undisturbed, once."""

    @cache
    def made(name: str) -> Path:
        folder = tmp_path_factory.mktemp(f"whole-{name}")
        done = run("-c", DYING, "none", *arguments_of(name, *given, folder))
        assert done.returncode == 0, done.stderr
        return folder

    return made


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("probe", ("features",)),
        ("factor", ("maps", "1")),
        ("detect", ("1",)),
        ("evaluate", ("features", "1", "2", "maps")),
    ],
)
def test_command_that_is_killed_ends_with_the_weights_of_one_that_is_not(
    name: str,
    moments: tuple[str, ...],
    whole: Callable[[str], Path],
    given: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    arguments = arguments_of(name, *given, tmp_path)
    for moment in moments:
        killed = run("-c", DYING, moment, *arguments)
        assert killed.returncode == -signal.SIGKILL, (moment, killed.stderr)

    done = run("-c", DYING, "none", *arguments)

    assert done.returncode == 0, done.stderr
    expected, found = weights_of(whole(name)), weights_of(tmp_path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert figures_of(tmp_path) == figures_of(whole(name))
    if name != "probe":
        assert "taken up after epoch 1" in done.stderr or name == "evaluate"


@pytest.mark.parametrize("name", COMMANDS)
def test_two_processes_end_with_the_weights_of_one(
    name: str, whole: Callable[[str], Path], given: tuple[Path, Path], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(DYING, encoding="utf-8")
    out = tmp_path / "out"

    done = run("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
               str(program), "none",
               *arguments_of(name, *given, out))  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1, done.stdout
    expected, found = weights_of(whole(name)), weights_of(out)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=5e-3, atol=2e-3, msg=key)
    assert len(figures_of(out)) == len(figures_of(whole(name)))
