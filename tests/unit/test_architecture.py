"""docs/architecture.md and docs/modules.md are true, and no file is long."""

import re

import architecture_document as document
import pytest

LONGEST = 400
"""Lines of a Python file."""

FILES = sorted(
    path
    for folder in (*document.PACKAGES, "deploy", "benchmarks", "tests")
    for path in (document.ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("name", document.GENERATED)
def test_generated_part_is_up_to_date(name: str) -> None:
    part = document.GENERATED[name]

    assert part.written() == part.make(), "run: make docs"


def test_every_module_says_what_it_is_for() -> None:
    silent = [line for line in document.modules().splitlines() if re.search(r"\|\s+\|$", line)]

    assert silent == []


def test_every_promise_names_a_test_that_exists() -> None:
    text = document.ARCHITECTURE.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)

    missing = [
        name
        for file, name in named
        if f"def {name}(" not in (document.ROOT / file).read_text(encoding="utf-8")
    ]

    assert named
    assert missing == []


def test_every_package_has_its_line_in_the_architecture() -> None:
    text = document.ARCHITECTURE.read_text(encoding="utf-8")
    packages = {
        file.parent.relative_to(document.ROOT)
        for package in document.PACKAGES
        for file in (document.ROOT / package).glob("*/__init__.py")
    }

    silent = {
        str(package)
        for package in packages
        if f"`{package}`" not in text and f"`{package.name}`" not in text
    }

    assert silent == set()


def test_no_file_is_longer_than_a_reader_holds_in_mind() -> None:
    lengths = {
        str(path.relative_to(document.ROOT)): path.read_text(encoding="utf-8").count("\n")
        for path in FILES
    }

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_each_section_of_the_architecture_fits_on_a_screen() -> None:
    text = document.ARCHITECTURE.read_text(encoding="utf-8")
    lengths = {part.partition("\n")[0]: part.count("\n") for part in text.split("\n## ")}

    assert {title: lines for title, lines in lengths.items() if lines > 30} == {}
