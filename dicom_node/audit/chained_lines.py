"""JSON lines of which each carries a digest of itself and of all lines before it.

A line is ``{"digest": D, "entry": E}`` in one fixed spelling, and D the SHA-256 of the digest of
the line before it, followed by E. So no byte can be another one without a line that says so. What
the lines themselves cannot tell is that the last ones are missing: that takes a digest that is
kept elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

START: Final = "0" * 64
"""What stands for the digest of the line before the first one."""

_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with chained lines.

    Attributes
    ----------
    line : from 1 on
    """

    line: int
    words: str

    def in_words(self) -> str:
        """Return the place and what is wrong with it."""
        return f"line {self.line}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadChain:
    """Chained lines as they were read.

    Attributes
    ----------
    digests : of each line, as it says itself; empty for one that cannot be read
    entries : of each line; empty for one that cannot be read
    """

    digests: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def digest_of(entry: Mapping[str, Any], previous: str) -> str:
    """Return the digest of an entry that follows a line.

    Parameters
    ----------
    previous : digest of that line, 64 hexadecimal digits; `START` before the first one
    """
    return hashlib.sha256(previous.encode() + _spelt(entry)).hexdigest()


def line_of(entry: Mapping[str, Any], previous: str) -> bytes:
    """Return an entry as a line, with its line feed."""
    return _spelt({"digest": digest_of(entry, previous), "entry": entry}) + b"\n"


def parsed(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return digest and entry of a line without its line feed; None if it is not spelt as one."""
    try:
        content = json.loads(line)
        digest, entry = content["digest"], content["entry"]
        is_line = isinstance(digest, str) and isinstance(entry, dict) and _spelt(content) == line
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not is_line or len(digest) != len(START) or not _DIGITS.issuperset(digest):
        return None
    return digest, entry


def read_chain(lines: Iterable[bytes]) -> ReadChain:
    """Read lines, each with its line feed, and say of each whether it is what was written."""
    chain = ReadChain()
    # After a line that was altered the next one may follow what it was, or what it now says.
    followed = {START}
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            chain.faults.append(Fault(line=number, words="its end is missing"))
        found = parsed(line.removesuffix(b"\n"))
        if found is None:
            if line.endswith(b"\n"):
                chain.faults.append(Fault(line=number, words="it is not as it was written"))
            chain.digests.append("")
            chain.entries.append({})
            followed = set()
            continue
        digest, entry = found
        # What follows an unreadable line cannot be judged; the fault is that line's.
        expected = {digest_of(entry, one) for one in followed}
        if expected and digest not in expected:
            words = "it is not as it was written, or a line before it is missing"
            chain.faults.append(Fault(line=number, words=words))
        chain.digests.append(digest)
        chain.entries.append(entry)
        followed = {digest} if digest in expected else {digest, *expected}
    return chain


def _spelt(content: Mapping[str, Any]) -> bytes:
    """Return the one spelling that a line has: sorted keys, no spaces, ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
