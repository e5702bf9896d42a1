"""Says in words what of a study was set aside, and what was corrected."""

from collections import defaultdict
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.correcting import CORRECTED, OTHER_CONTENT
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study

NOTHING_TO_ANALYSE: Final = "nothing to analyse"
"""Remark of a settled study of which no image can be analysed."""


def correction_in_words(session: Session, study: Study) -> str:
    """Say how many images were corrected, and which of their attributes; empty if none was."""
    kept = _in_state(session, study, InstanceState.REGISTERED)
    corrected = [row for row in kept if row.reason == CORRECTED]
    if not corrected:
        return ""
    changed = sorted({word for row in corrected for word in row.detail.split(", ")})
    return f"{len(corrected)} of {_counted(len(kept), 'image')} corrected: {', '.join(changed)}"


def set_aside_in_words(session: Session, study: Study) -> str:
    """Say how many objects are set aside, and why; empty if none is.

    What came again and was registered then does not count any more.
    """
    kept = _in_state(session, study, InstanceState.REGISTERED)
    newest = {row.sop_instance_uid: row.id for row in kept}
    contents = {row.content_sha256 for row in kept}
    details: defaultdict[str, list[str]] = defaultdict(list)
    for row in _in_state(session, study, InstanceState.SET_ASIDE):
        came_again = (
            row.content_sha256 in contents
            if row.reason == OTHER_CONTENT
            else newest.get(row.sop_instance_uid, 0) > row.id
        )
        if not came_again:
            details[row.reason].append(row.detail)
    return "; ".join(
        f"{_counted(len(found), 'object')} set aside: {found[0] or reason}"
        for reason, found in sorted(details.items())
    )


def _in_state(session: Session, study: Study, state: InstanceState) -> list[Instance]:
    query = select(Instance).where(Instance.study_id == study.id, Instance.state == state)
    return list(session.scalars(query.order_by(Instance.id)))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
