"""One object on its way into the ledger, and what the log says of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from dicom_node.errors import SetAsideError
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.spool.names import Receipt
from dicom_node.studies.ledger.arrival.registering import Arrival, Verdict
from dicom_node.studies.ledger.tables import Instance

log = structlog.get_logger("dicom_node.registrar")

_EVENTS: Final = {
    Verdict.NEW: "instance_new",
    Verdict.REPEATED: "instance_repeated",
    Verdict.KEPT_AGAIN: "instance_kept_again",
    Verdict.OWN_RESULT: "instance_own_result",
}
_EVENTS_TO_CARE_ABOUT: Final = {
    Verdict.CORRECTED: "instance_corrected",
    Verdict.REPLACED: "instance_replaced",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingObject:
    """One object in ``incoming`` whose header was read."""

    receipt: Receipt
    file: Path
    arrival: Arrival
    facts: InstanceFacts | None
    problem: SetAsideError | None


def report(
    one: WaitingObject,
    verdict: Verdict,
    problem: SetAsideError | None,
    rows: Mapping[str, Instance],
) -> None:
    """Say in the log what became of an object."""
    about = {"receipt": one.arrival.receipt}
    if one.facts is not None:
        about |= {
            "study": one.facts.study_instance_uid,
            "sop_instance": one.facts.sop_instance_uid,
        }
    if problem is not None:
        log.warning("instance_set_aside", reason=problem.reason_word, detail=str(problem), **about)
    elif verdict in _EVENTS_TO_CARE_ABOUT:
        detail = rows[one.arrival.receipt].detail
        log.warning(_EVENTS_TO_CARE_ABOUT[verdict], detail=detail, **about)
    elif verdict in _EVENTS:
        log.info(_EVENTS[verdict], **about)
