"""Says in words what of a study was set aside, what was corrected, and whose files are gone."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.studies.ledger.arrival.correcting import CORRECTED, OTHER_CONTENT
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from mammoclip_core.counting import counted

NOTHING_TO_ANALYSE: Final = "nothing to analyse"
"""Remark of a settled study of which no image can be analysed."""


_REFUSED_BY_RULE: Final = "not analysed by rule "


def refused_by_rule(rule: str, reason: str) -> str:
    """Return the remark of a study that a rule has kept from being analysed."""
    return f"{_REFUSED_BY_RULE}{rule}: {reason}"


def has_nothing_to_analyse(remark: str) -> bool:
    """Return whether a remark says that nothing of a study is analysed, and nothing waited for."""
    return remark == NOTHING_TO_ANALYSE or remark.startswith(_REFUSED_BY_RULE)


def nothing_to_analyse(remark: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Return the condition that `has_nothing_to_analyse` tells of a remark."""
    return or_(remark == NOTHING_TO_ANALYSE, remark.startswith(_REFUSED_BY_RULE, autoescape=True))


def correction_in_words(
    session: Session, study: Study, rows: Sequence[Instance] | None = None
) -> str:
    """Say how many images were corrected, and which of their attributes; empty if none was.

    Parameters
    ----------
    rows : the instances of the study in their order, where they were read before
    """
    kept = _in_state(session, study, InstanceState.REGISTERED, rows)
    corrected = [row for row in kept if row.reason == CORRECTED]
    if not corrected:
        return ""
    changed = sorted({word for row in corrected for word in row.detail.split(", ")})
    return f"{len(corrected)} of {counted(len(kept), 'image')} corrected: {', '.join(changed)}"


def set_aside_in_words(
    session: Session, study: Study, rows: Sequence[Instance] | None = None
) -> str:
    """Say how many objects are set aside, and why; empty if none is.

    What came again and was registered then does not count any more.

    Parameters
    ----------
    rows : the instances of the study in their order, where they were read before
    """
    kept = _in_state(session, study, InstanceState.REGISTERED, rows)
    newest = {row.sop_instance_uid: row.id for row in kept}
    contents = {row.content_sha256 for row in kept}
    details: defaultdict[str, list[str]] = defaultdict(list)
    for row in _in_state(session, study, InstanceState.SET_ASIDE, rows):
        came_again = (
            row.content_sha256 in contents
            if row.reason == OTHER_CONTENT
            else newest.get(row.sop_instance_uid, 0) > row.id
        )
        if not came_again:
            details[row.reason].append(row.detail)
    return "; ".join(
        f"{counted(len(found), 'object')} set aside: {found[0] or reason}"
        for reason, found in sorted(details.items())
    )


def gone_images(instances: Iterable[Instance]) -> list[Instance]:
    """Return those of a study's images whose files were removed and that nobody has sent again."""
    rows = list(instances)
    there = {
        row.sop_instance_uid
        for row in rows
        if row.state in {InstanceState.RECEIVED, InstanceState.REGISTERED}
    }
    removed = (row for row in rows if row.state is InstanceState.REMOVED)
    # One that was sent again and removed again counts once.
    newest = {row.sop_instance_uid: row for row in removed if row.sop_instance_uid not in there}
    return list(newest.values())


def removal_in_words(session: Session, study: Study) -> str:
    """Say when and why files of a study were removed; empty if none were, or all came again."""
    query = select(Instance).where(Instance.study_id == study.id).order_by(Instance.id)
    gone = gone_images(session.scalars(query)) if study.removed_because else []
    if not gone:
        return ""
    at = max((row.removed_at for row in gone if row.removed_at is not None), default=None)
    when = "" if at is None else f" on {at.isoformat(timespec='seconds')}"
    return f"the files of {counted(len(gone), 'image')} were removed{when}: {study.removed_because}"


def _in_state(
    session: Session, study: Study, state: InstanceState, rows: Sequence[Instance] | None
) -> list[Instance]:
    if rows is not None:
        return [row for row in rows if row.state is state]
    query = select(Instance).where(Instance.study_id == study.id, Instance.state == state)
    return list(session.scalars(query.order_by(Instance.id)))
