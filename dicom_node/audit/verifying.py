"""Says what is wrong with an audit file: altered lines, missing lines, an end that is cut off."""

from collections.abc import Iterable
from typing import Final, Protocol

from dicom_node.audit.chained_lines import Fault, read_chain

MOST_FAULTS: Final = 50
"""Faults that are named; a file that is something else has one in each line."""


class KnownLine(Protocol):
    """A line of the file that something else remembers: the ledger, or a receipt."""

    @property
    def number(self) -> int:
        """Return the place of the line, from 1 on."""

    @property
    def digest(self) -> str:
        """Return the digest that it had."""


def audit_faults(lines: Iterable[bytes], known: Iterable[KnownLine]) -> tuple[int, list[Fault]]:
    """Return how many lines there are, and everything that is wrong with them.

    Parameters
    ----------
    lines : of the file, each with its line feed
    known : lines that are remembered elsewhere
    """
    chain = read_chain(lines)
    count = len(chain.digests)
    faults = {fault.line: fault for fault in reversed(chain.faults)}
    for number, entry in enumerate(chain.entries, start=1):
        if entry and entry.get("number") != number:
            words = f"it says that it is line {entry.get('number')}: lines before it are missing"
            faults.setdefault(number, Fault(line=number, words=words))
            break  # the rest is off by as many
    missing: list[int] = []
    for one in known:
        if one.number > count:
            missing.append(one.number)
        elif chain.digests[one.number - 1] != one.digest:
            words = "it is another one than is remembered: the file was replaced or cut off"
            faults.setdefault(one.number, Fault(line=one.number, words=words))
    if missing:
        words = f"the end is cut off: line {max(missing)} is remembered, and the file has {count}"
        faults.setdefault(count + 1, Fault(line=count + 1, words=words))
    return count, sorted(faults.values(), key=lambda fault: fault.line)[:MOST_FAULTS]
