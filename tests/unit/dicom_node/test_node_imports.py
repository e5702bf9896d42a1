"""What a fresh interpreter holds after one import: none of the heavy libraries."""

import subprocess
import sys
from functools import cache

import pytest

HEAVY = {"torch", "torchvision", "timm", "transformers", "highdicom", "lightning"}


@cache
def loaded_by(module: str) -> frozenset[str]:
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={"MAMMOCLIP_CONFIG": "/absent"},
    )
    assert done.stderr == ""
    return frozenset(name.split(".")[0] for name in done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "dicom_node.receive.listener",
        "dicom_node.commands.node",
        "dicom_node.node_process, dicom_node.commands.checks.check",
    ],
)
def test_import_stays_light(module: str) -> None:
    assert not HEAVY & loaded_by(module)


def test_command_line_starts_with_next_to_nothing() -> None:
    others = {"sqlalchemy", "pydicom", "pynetdicom", "pydantic", "celery", "numpy", "structlog"}

    assert not others & loaded_by("dicom_node.commands.node")


def test_listener_knows_no_ledger_and_no_broker() -> None:
    assert not {"sqlalchemy", "celery", "kombu", "alembic"} & loaded_by(
        "dicom_node.receive.listener"
    )
