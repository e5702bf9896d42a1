"""The generated part of docs/interoperability.md: what the lab tries, and what comes of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from architecture_document import GeneratedPart
from lab.exchanges import EXCHANGES
from lab.ways import WAYS

PAGE: Final = Path(__file__).parents[2] / "docs" / "interoperability.md"
HEADINGS: Final = ("archive", "what is special", "results by", "asked by", "in the end", "reason")
HEADINGS_OF_WAYS: Final = ("way", "peer", "what the peer does or sees", "shown by")


def text(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a whole table."""
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


PARTS: Final = (
    GeneratedPart(PAGE, "exchanges", lambda: text(HEADINGS, (one.cells for one in EXCHANGES))),
    GeneratedPart(PAGE, "ways", lambda: text(HEADINGS_OF_WAYS, (way.cells for way in WAYS))),
)


if __name__ == "__main__":
    for part in PARTS:
        part.write()
