"""What gets installed: every dependency is locked, and none has a security fault that is known."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parents[3]
LOCK: Final = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

FLOORS: Final = {
    "celery": ("5.2.2", "CVE-2021-23727"),
    "pillow": ("12.2.0", "CVE-2026-25990, CVE-2026-42308"),
    "pydicom": ("3.0.2", "CVE-2026-32711"),
    "torch": ("2.6.0", "CVE-2025-32434"),
    "urllib3": ("2.6.0", "CVE-2025-66418, CVE-2025-66471"),
}
"""The first version of a package without a known fault, and the fault."""


def requirements() -> Iterator[Requirement]:
    """Yield what pyproject.toml asks for from other projects, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != PROJECT["name"]:
            yield requirement


def locked() -> dict[str, Version]:
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.parametrize("requirement", list(requirements()), ids=str)
def test_every_dependency_is_locked_at_a_version_it_allows(requirement: Requirement) -> None:
    version = locked().get(canonicalize_name(requirement.name))

    assert version is not None, "run: make lock"
    assert version in requirement.specifier, "run: make lock"


def test_lock_names_no_place() -> None:
    lines = [line for line in LOCK.splitlines() if re.search(r"://|@|^-|/\w", line)]

    assert lines == []


@pytest.mark.parametrize("package", FLOORS)
def test_locked_version_has_no_known_fault(package: str) -> None:
    floor, fault = FLOORS[package]

    assert locked()[package] >= Version(floor), fault


@pytest.mark.parametrize("package", FLOORS)
def test_no_version_with_a_known_fault_is_allowed(package: str) -> None:
    floor, fault = FLOORS[package]
    bounds = [
        Version(bound.version)
        for requirement in requirements()
        if requirement.name == package
        for bound in requirement.specifier
        if bound.operator == ">="
    ]

    assert bounds
    assert min(bounds) >= Version(floor), fault
