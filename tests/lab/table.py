"""The generated part of docs/interoperability.md: what the lab tries, and what comes of it."""

from pathlib import Path
from typing import Final

from architecture_document import GeneratedPart
from lab.exchanges import EXCHANGES, Exchange

PAGE: Final = Path(__file__).parents[2] / "docs" / "interoperability.md"
HEADINGS: Final = ("archive", "what is special", "results by", "asked by", "in the end", "reason")


def row(exchange: Exchange) -> str:
    """Return the row of one exchange."""
    return f"| {' | '.join(exchange.cells)} |"


def text() -> str:
    """Return the whole table."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{' --- |' * len(HEADINGS)}"]
    return "\n".join([*lines, *map(row, EXCHANGES)])


PART: Final = GeneratedPart(PAGE, "exchanges", text)


if __name__ == "__main__":
    PART.write()
