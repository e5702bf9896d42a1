"""What is audited: the acts of people and of the node, and how far each of them came."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Act(StrEnum):
    """What somebody did, by the name of the command that does it, where there is one."""

    START = "start"
    STOP = "stop"
    RETRY = "retry"
    CANCEL = "cancel"
    ANALYSE_NOW = "analyse-now"
    SEND = "send"
    PRIORITY = "priority"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CANARY = "canary"
    ERASE = "erase"
    MOVE_DELIVERIES = "move-deliveries"
    DROP_DELIVERIES = "drop-deliveries"
    BACK_UP = "back-up"
    MIGRATE_BACK = "migrate-back"
    RECEIPT = "receipt"
    REPLAY = "replay"
    REFERENCE = "reference"
    THRESHOLDS = "thresholds"
    STOP_RULE = "stop-rule"
    REPORT = "report"
    EXPORT = "export"
    USERS = "users"
    TOKENS = "tokens"
    ASSESSMENTS = "assessments"
    VERIFY = "audit-verify"
    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    DOWNLOAD = "download"
    VIEW = "view"
    WORKITEM = "workitem"


class Outcome(StrEnum):
    """How far an act came: an entry before it, and one after it."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One entry of the audit file.

    Attributes
    ----------
    who : account of the operating system or of the console; ``node`` for the node itself
    via : ``command``, ``console`` or ``node``
    studies : Study Instance UIDs
    detail : in words; no name and no ID of a patient
    """

    at: datetime
    who: str
    via: str
    act: Act
    outcome: Outcome
    studies: tuple[str, ...] = ()
    detail: str = ""

    def as_entry(self) -> dict[str, Any]:
        """Return it as the audit file has it."""
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "who": self.who,
            "via": self.via,
            "act": self.act.value,
            "outcome": self.outcome.value,
            "studies": list(self.studies),
            "detail": self.detail,
        }
