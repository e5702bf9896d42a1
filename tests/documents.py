"""What the documents set as code, for the tests that compare it with the code itself."""

import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (
    "benchmarks",
    "deploy",
    "dicom_node",
    "docs",
    "mammoclip_core",
    "tests",
    "training",
    "worker",
)

_WITH_HISTORY: Final = (
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "benchmarks" / "README.md",
    ROOT / "mammoclip_core" / "demonstration_bundle" / "model-card.md",
)
ALL: Final = tuple(sorted(path for path in _WITH_HISTORY if path.is_file()))
GUIDES: Final = tuple(path for path in ALL if path.name not in {"CHANGELOG.md", "modules.md"})
"""All but the history and what is made from the source."""

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    """Return the place of a document within the repository."""
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    """Return the text of a document."""
    return path.read_text(encoding="utf-8")


def sentences_of(path: Path) -> str:
    """Return the text of a document with every line break as a space."""
    return " ".join(text_of(path).split())


def blocks_of(path: Path, language: str | None = None) -> list[str]:
    """Return the blocks of code of a document, of one language or of all."""
    found = _BLOCK.findall(text_of(path))
    return [block for name, block in found if language is None or name == language]


def spans_of(path: Path) -> list[str]:
    """Return what a document sets as code within its sentences."""
    paragraphs = _BLOCK.sub("\n", text_of(path)).split("\n\n")
    return [
        " ".join(span.split())
        for paragraph in paragraphs
        for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", paragraph)
    ]


def lines_of_code(path: Path) -> list[str]:
    """Return each span and each line of a block, continued lines joined, comments left out."""
    lines = "".join(blocks_of(path)).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s#\s.*", "", line) for line in [*lines, *spans_of(path)]]


def table_after(path: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    below = text_of(path).split(f"\n{heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\|\n)+", below, re.MULTILINE)
    assert rows is not None, f"{path.name} has no table below {heading}"
    return [
        [cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[0].splitlines()[2:]
    ]


@cache
def sources() -> dict[Path, str]:
    """Return the text of every file of code, settings and scripts."""
    files = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".toml", ".yaml", ".lua", ".json"}
    ]
    return {
        path: path.read_text(encoding="utf-8")
        for path in [*files, ROOT / "Makefile", ROOT / "pyproject.toml"]
    }


@cache
def names_in_sources() -> frozenset[str]:
    """Return every name that stands in the sources."""
    return frozenset(name for text in sources().values() for name in re.findall(r"\w+", text))
