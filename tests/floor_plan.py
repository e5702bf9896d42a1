"""The generated parts of docs/architecture.md; ``python tests/floor_plan.py`` writes them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from dicom_node.studies.ledger.states import TRANSITIONS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
PACKAGES = ("mammoclip_core", "dicom_node", "worker", "training")


def rooms() -> str:
    """Return the table of rooms: each file with its one-line sign."""
    lines = ["| room | what it is for |", "| --- | --- |"]
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            sign = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
            place = file.relative_to(ROOT)
            if "migrations/versions" not in str(place):
                lines.append(f"| `{place}` | {sign.splitlines()[0] if sign else ''} |")
    return "\n".join(lines)


def lives() -> str:
    """Return one state diagram for each thing that has states."""
    return "\n\n".join(_diagrams())


def _diagrams() -> Iterator[str]:
    for states, table in TRANSITIONS.items():
        lines = [f"**{states.__name__.removesuffix('State')}**", "", "```mermaid"]
        lines.append("stateDiagram-v2")
        lines += [
            f"    {before.value} --> {after.value}: {event.value}"
            for (before, event), after in table.items()
        ]
        yield "\n".join([*lines, "```"])


GENERATED = {"rooms": rooms, "lives": lives}


def written(name: str) -> str:
    """Return what the document holds between the marks of a generated part."""
    match = re.search(_pattern(name), DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None, f"docs/architecture.md has no part {name}"
    return match[2].strip()


def write() -> None:
    """Bring the generated parts up to date."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, make in GENERATED.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        head, _, rest = text.partition(start)
        text = f"{head}{start}\n{make()}\n{end}{rest.partition(end)[2]}"
    DOCUMENT.write_text(text, encoding="utf-8")


def _pattern(name: str) -> str:
    return rf"(<!-- {name} -->)(.*?)(<!-- end of {name} -->)"


if __name__ == "__main__":
    write()
