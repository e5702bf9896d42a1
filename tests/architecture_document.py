"""The generated parts of docs; ``make docs`` writes them."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom_node.studies.ledger.states import TRANSITIONS

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("mammoclip_core", "dicom_node", "worker", "training")


@dataclass(frozen=True)
class GeneratedPart:
    """What stands between two marks of a document, and what makes it."""

    document: Path
    name: str
    make: Callable[[], str]

    def written(self) -> str:
        """Return what the document holds between the marks."""
        text = self.document.read_text(encoding="utf-8")
        match = re.search(rf"{self._start}(.*?){self._end}", text, re.DOTALL)
        assert match is not None, f"{self.document.name} has no part {self.name!r}"
        return match[1].strip()

    def write(self) -> None:
        """Bring the document up to date."""
        head, _, rest = self.document.read_text(encoding="utf-8").partition(self._start)
        tail = rest.partition(self._end)[2]
        text = f"{head}{self._start}\n{self.make()}\n{self._end}{tail}"
        self.document.write_text(text, encoding="utf-8")

    @property
    def _start(self) -> str:
        return f"<!-- {self.name} -->"

    @property
    def _end(self) -> str:
        return f"<!-- end of {self.name} -->"


def modules() -> str:
    """Return a table for each package: its modules, each with the first line of its docstring."""
    return "\n\n".join(_tables())


def state_machines() -> str:
    """Return one diagram for each thing that has states."""
    return "\n\n".join(_diagrams())


def layers() -> str:
    """Return a table of the layers that the import contracts hold the packages to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = ["| package | layers, each above those it may import |", "| --- | --- |"]
    for contract in project["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            (container,) = contract.get("containers", ["all four"])
            shown = (layer.replace(" | ", ", ") for layer in contract["layers"])
            lines.append(f"| {container} | {' → '.join(shown)} |")
    return "\n".join(lines)


def _tables() -> Iterator[str]:
    for package in PACKAGES:
        lines = [f"## {package}", "", "| module | purpose |", "| --- | --- |"]
        for file in sorted((ROOT / package).rglob("*.py")):
            place = str(file.relative_to(ROOT))
            if "migrations/versions" not in place:
                docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
                lines.append(f"| `{place}` | {docstring.partition(chr(10))[0]} |")
        yield "\n".join(lines)


def _diagrams() -> Iterator[str]:
    for states, table in TRANSITIONS.items():
        lines = [f"**{states.__name__.removesuffix('State')}**", "", "```mermaid"]
        lines.append("stateDiagram-v2")
        lines += [
            f"    {before.value} --> {after.value}: {event.value}"
            for (before, event), after in table.items()
        ]
        yield "\n".join([*lines, "```"])


ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"
GENERATED: Final[Mapping[str, GeneratedPart]] = {
    "layers": GeneratedPart(ARCHITECTURE, "layers", layers),
    "modules": GeneratedPart(ROOT / "docs" / "modules.md", "modules", modules),
    "state machines": GeneratedPart(
        ROOT / "docs" / "state_machines.md", "state machines", state_machines
    ),
}


def write() -> None:
    """Bring all generated parts up to date."""
    for part in GENERATED.values():
        part.write()


if __name__ == "__main__":
    write()
