import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "timm", "transformers", "highdicom", "lightning"}


def loaded_by(module: str) -> set[str]:
    """Return what a fresh interpreter holds after one import."""
    command = [sys.executable, "-c", f"import {module}, sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "module",
    [
        "dicom_node",
        "dicom_node.receive.listener",
        "dicom_node.cli",
        "dicom_node.node",
        "dicom_node.checks",
        "dicom_node.objects.recognition",
        "worker",
        "worker.tasks",
    ],
)
def test_import_stays_light(module: str) -> None:
    assert not HEAVY & loaded_by(module)


def test_command_line_starts_with_next_to_nothing() -> None:
    loaded = loaded_by("dicom_node.cli")

    others = {"sqlalchemy", "pydicom", "pynetdicom", "pydantic", "celery", "numpy", "structlog"}
    assert not others & loaded


def test_listener_knows_no_ledger_and_no_broker() -> None:
    assert not {"sqlalchemy", "celery", "kombu", "alembic"} & loaded_by(
        "dicom_node.receive.listener"
    )


def test_importing_the_node_reads_no_settings(tmp_path: object) -> None:
    command = [sys.executable, "-c", "import dicom_node.node, dicom_node.cli, worker.tasks"]

    done = subprocess.run(
        command, capture_output=True, check=False, env={"MAMMOCLIP_CONFIG": "/absent"}, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
