"""The history of a study in words: what happened, when, and how long after the step before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

_TOGETHER: Final = timedelta(seconds=60)
"""Equal steps of several images within this time are told as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a study, or several alike, in words.

    Attributes
    ----------
    waited : seconds since the step before
    """

    at: datetime
    waited: float
    words: str
    reason: str


_SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "study": ("study", "studies"),
    "instance": ("image", "images"),
    "analysis": ("analysis", "analyses"),
    "delivery": ("delivery", "deliveries"),
}
_EVENTS: Final[Mapping[str, str]] = {
    "": "entered",
    "new": "entered",
    "file": "filed in the spool",
    "set_aside": "set aside",
    "replace": "replaced by a corrected copy",
    "restore": "restored",
    "remove": "removed",
    "settle": "complete",
    "late_image": "opened again by a late image",
    "claim": "taken by a worker",
    "worker_tested": "begun after test images",
    "finish": "finished",
    "fail": "failed",
    "give_back": "given back",
    "lease_lost": "lost with its worker",
    "cancel": "cancelled",
    "supersede": "superseded",
    "deliver": "taken by the destination",
    "postpone": "postponed",
    "refuse": "refused",
    "expire": "expired",
    "retry": "due again",
    "confirm": "confirmed by the archive",
    "commit": "committed by the archive",
    "miss": "missing at the archive",
    "hold": "held",
    "move": "moved to another destination",
    "drop": "dropped",
}


@dataclass(slots=True)
class _Alike:
    """Equal steps of several things."""

    subject: str
    event: str
    reason: str
    at: datetime
    count: int = 1

    def takes(self, row: Mapping[str, Any]) -> bool:
        is_same = (self.subject, self.event, self.reason) == _key(row)
        return is_same and row["at"] - self.at < _TOGETHER

    def in_words(self) -> str:
        one, many = _SUBJECTS.get(self.subject, (self.subject, f"{self.subject}s"))
        what = _EVENTS.get(self.event, self.event.replace("_", " "))
        return f"{one} {what}" if self.count == 1 else f"{self.count} {many} {what}"


def time_line(history: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Return the history of a study as steps in words.

    Parameters
    ----------
    history : rows of the ledger, in their order
    """
    found: list[_Alike] = []
    for row in history:
        # Images take their steps in turn, between each other's.
        recent = (one for one in reversed(found[-_LOOKED_BACK:]) if one.takes(row))
        same = next(recent, None)
        if same is not None:
            same.count += 1
        else:
            found.append(_Alike(*_key(row), at=row["at"]))
    steps = []
    for place, one in enumerate(found):
        waited = (one.at - found[place - 1].at).total_seconds() if place else 0.0
        words, reason = one.in_words(), one.reason
        steps.append(Step(at=one.at, waited=max(waited, 0.0), words=words, reason=reason))
    return steps


_LOOKED_BACK: Final = 6


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["subject"], row["event"], row["reason"] or ""
