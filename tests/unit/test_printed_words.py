"""What commands print in tables is printed as it is: a word in brackets is no style."""

import ast
from pathlib import Path

import architecture_document as document
import pytest
from rich.table import Table

from dicom_node.commands.tables import new_table
from dicom_node.commands.terminal import print_table
from mammoclip_core.commands.tables import show

WORDS = "add one under [[destinations]], then [red]retry[/red] :warning: [mass]"
FILES = sorted(
    file
    for package in (*document.PACKAGES, "deploy", "benchmarks")
    for file in (document.ROOT / package).rglob("*.py")
)


def table(title: str = "") -> Table:
    made = new_table(title, "reason")
    made.add_row(WORDS)
    return made


@pytest.mark.parametrize("printed_by", [print_table, show])
def test_words_of_a_table_are_printed_as_they_are(
    printed_by: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(printed_by)
    printed_by(table(title="of [archive] :x:"))

    printed = capsys.readouterr().out
    assert WORDS in printed
    assert "of [archive] :x:" in printed


def consoles_of(file: Path) -> list[ast.Call]:
    return [
        call
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Console")
    ]


def test_every_console_takes_words_as_they_are() -> None:
    found = [(file, call) for file in FILES for call in consoles_of(file)]
    obeying = [
        f"{file.relative_to(document.ROOT)}:{call.lineno}"
        for file, call in found
        if not {"markup=False", "emoji=False"} <= {ast.unparse(one) for one in call.keywords}
    ]

    assert len(found) >= 7
    assert obeying == [], "give it markup=False and emoji=False"
