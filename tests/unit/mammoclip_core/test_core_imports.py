import subprocess
import sys
from pathlib import Path

import pytest
from core_factory import WriteInstance, breast

LIGHT_MODULES = [
    "mammoclip_core.analysis.aggregation",
    "mammoclip_core.commands.predict",
    "mammoclip_core.bundles.demonstration",
    "mammoclip_core.analysis.engine",
    "mammoclip_core.published.fetch",
    "mammoclip_core.findings",
    "mammoclip_core.analysis.heatmap_files",
    "mammoclip_core.published.hub",
    "mammoclip_core.lexicon",
    "mammoclip_core.manifest",
    "mammoclip_core.images.preprocessing",
    "mammoclip_core.analysis.study_files",
    "mammoclip_core.commands.tables",
    "mammoclip_core.images.header.views",
]


def modules_after_import_of(module: str) -> set[str]:
    command = [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_import_loads_no_model_library(module: str) -> None:
    assert not {"torch", "timm", "transformers"} & modules_after_import_of(module)


@pytest.mark.parametrize(
    "name",
    [
        "analysis.heatmap_files",
        "findings",
        "images.header.image_kind",
        "images.header.own_result",
        "images.header.views",
        "images.selection",
        "lexicon",
        "manifest",
    ],
)
def test_what_the_node_imports_needs_no_pydicom(name: str) -> None:
    assert "pydicom" not in modules_after_import_of(f"mammoclip_core.{name}")


COMMAND = """
import sys
from mammoclip_core.commands.predict import app
app(sys.argv[1:], standalone_mode=False)
print(*sys.modules, file=sys.stderr)
"""


def modules_after_command(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stderr.split())


@pytest.mark.parametrize("command", [[], ["image"], ["fetch"], ["convert"]])
def test_help_loads_nothing_that_takes_a_second(command: list[str]) -> None:
    heavy = {"torch", "timm", "transformers", "huggingface_hub", "numpy", "cv2", "pydicom"}

    assert not heavy & modules_after_command(*command, "--help")


def test_image_is_answered_without_transformers(
    random_bundle: Path, write_instance: WriteInstance
) -> None:
    path = str(write_instance(breast()))

    modules = modules_after_command("image", path, "--bundle", str(random_bundle), "--json")

    assert "pydicom" in modules
    assert not {"transformers", "tokenizers"} & modules


def test_prediction_from_stored_prompts_needs_no_transformers(random_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from mammoclip_core.engines.choice import load_model; "
        f"load_model(Path({str(random_bundle)!r})); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert "torch" in run.stdout.split()
    assert "transformers" not in run.stdout.split()
