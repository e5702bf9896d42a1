"""What ``mammoclip-node check`` says of each thing that it looked at."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is; also the exit status of the command, as monitoring programs read it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was looked at.

    Attributes
    ----------
    detail : what is wrong and what to do, or what was found; may be empty
    """

    name: str
    level: Level = Level.OK
    detail: str = ""

    def in_words(self) -> str:
        """Return the line that is printed."""
        word = {Level.OK: "ok  ", Level.WARNING: "WARN", Level.CRITICAL: "FAIL"}[self.level]
        return f"{word}  {self.name}{f': {self.detail}' if self.detail else ''}"
