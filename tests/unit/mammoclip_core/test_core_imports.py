import subprocess
import sys
from pathlib import Path

import pytest

LIGHT_MODULES = [
    "mammoclip_core.aggregation",
    "mammoclip_core.cli",
    "mammoclip_core.demonstration",
    "mammoclip_core.engine",
    "mammoclip_core.findings",
    "mammoclip_core.heatmaps",
    "mammoclip_core.lexicon",
    "mammoclip_core.manifest",
    "mammoclip_core.preprocessing",
    "mammoclip_core.requests",
    "mammoclip_core.tables",
    "mammoclip_core.views",
]


def modules_after_import_of(module: str) -> set[str]:
    command = [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_import_loads_no_model_library(module: str) -> None:
    assert not {"torch", "timm", "transformers"} & modules_after_import_of(module)


@pytest.mark.parametrize("name", ["findings", "heatmaps", "manifest", "views", "lexicon"])
def test_what_the_node_imports_needs_no_pydicom(name: str) -> None:
    assert "pydicom" not in modules_after_import_of(f"mammoclip_core.{name}")


def test_prediction_from_stored_prompts_needs_no_transformers(demonstration: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mammoclip_core.bundle import load_model; "
        f"load_model(Path({str(demonstration)!r})); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert "torch" in run.stdout.split()
    assert "transformers" not in run.stdout.split()
