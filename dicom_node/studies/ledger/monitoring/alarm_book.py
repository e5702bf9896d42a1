"""Alarms as the ledger keeps them, and what is still to be told of them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.monitoring.alarms import Alarm
from dicom_node.studies.ledger.monitoring.tables import Alert, DriftAlarm, ReferenceReset

STOPPED: Final = "stop-rule"
"""Kind of the entry that a stop rule was met."""

SAME_WITHIN: Final = timedelta(days=7)
"""What lasts is one alarm a week, whoever looks, and in whichever order answers came."""

_TOLD_WITHIN: Final = timedelta(minutes=2)
"""More than a channel takes to take an alert, or to refuse it."""

_FIRST_WAIT: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(hours=1)


def enter_alarm(session: Session, alarm: Alarm, *, noticed_at: datetime) -> bool:
    """Enter an alarm; return False if it is one that is entered."""
    about = alarm.about[:128]
    query = select(DriftAlarm.id).where(
        DriftAlarm.scanner == alarm.scanner,
        DriftAlarm.kind == alarm.kind.value,
        DriftAlarm.about == about,
    )
    if not alarm.kind.is_event:
        query = query.where(
            DriftAlarm.at > alarm.at - SAME_WITHIN, DriftAlarm.at < alarm.at + SAME_WITHIN
        )
    if session.scalar(query.limit(1)) is not None:
        return False
    session.add(
        DriftAlarm(
            scanner=alarm.scanner,
            kind=alarm.kind.value,
            about=about,
            at=alarm.at,
            noticed_at=noticed_at,
            detail=alarm.detail,
        )
    )
    return True


def alarms(session: Session, *, since: datetime) -> list[DriftAlarm]:
    """Return the alarms since a time, the oldest first."""
    query = select(DriftAlarm).where(DriftAlarm.at >= since).order_by(DriftAlarm.at, DriftAlarm.id)
    return list(session.scalars(query))


def enter_stop(session: Session, sentence: str, day: date, *, at: datetime) -> None:
    """Enter that a stop rule was met."""
    session.add(
        DriftAlarm(
            scanner="",
            kind=STOPPED,
            about=sentence,
            at=at,
            noticed_at=at,
            detail=f"{sentence}: met on {day.isoformat()}; results are held",
        )
    )


def last_stop(session: Session) -> DriftAlarm | None:
    """Return the last time that a stop rule was met; its ``noticed_at`` is until when it held."""
    query = select(DriftAlarm).where(DriftAlarm.kind == STOPPED).order_by(DriftAlarm.id.desc())
    return session.scalars(query.limit(1)).first()


def reset_reference(
    session: Session, scanner: str, *, reason: str, decided_by: str, at: datetime
) -> None:
    """Take a scanner's answers from a time on for its reference."""
    session.add(
        ReferenceReset(
            scanner=scanner, since=at, reason=reason, decided_by=decided_by, decided_at=at
        )
    )


def reference_resets(session: Session) -> dict[str, list[datetime]]:
    """Return of each scanner when its reference began anew, in order."""
    found: dict[str, list[datetime]] = {}
    for row in session.scalars(select(ReferenceReset).order_by(ReferenceReset.since)):
        found.setdefault(row.scanner, []).append(row.since)
    return found


def enter_alerts(
    session: Session, channels: Sequence[str], subject: str, body: str, *, at: datetime
) -> None:
    """Have something told by some channels, once."""
    for channel in channels:
        query = select(Alert.id).where(Alert.channel == channel, Alert.subject == subject[:255])
        if session.scalar(query) is None:
            session.add(
                Alert(
                    channel=channel,
                    subject=subject,
                    body=body,
                    at=at,
                    due_at=at,
                    attempts=0,
                    reason="",
                )
            )


def take_alert(session: Session, *, at: datetime) -> Alert | None:
    """Return what is to be told now, for whoever tells it; None if there is nothing.

    No other node before this ledger takes it meanwhile. If whoever has it is gone before
    `note_alert`, it is told again.
    """
    query = select(Alert).where(Alert.sent_at.is_(None), Alert.due_at <= at).order_by(Alert.id)
    row = session.scalars(query.limit(1).with_for_update(skip_locked=True)).first()
    if row is not None:
        row.due_at = at + _TOLD_WITHIN
    return row


def note_alert(
    session: Session, number: int, *, reason: str, at: datetime, give_up_after: timedelta
) -> None:
    """Enter that a channel has taken an alert, or why not.

    Parameters
    ----------
    reason : empty if it was taken
    """
    row = session.get(Alert, number)
    if row is None:
        return
    row.attempts += 1
    row.reason = reason
    if not reason or at - row.at > give_up_after:
        row.sent_at = at
    else:
        row.due_at = at + min(_FIRST_WAIT * 2 ** min(row.attempts - 1, 10), _LONGEST_WAIT)
