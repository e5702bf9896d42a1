"""Decides when a study is complete, and makes its analysis due."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from dicom_node.facts.identity import is_one_patient
from dicom_node.routing.route import DEFAULT_ROUTE, DEFAULT_RULE, Route
from dicom_node.spool.open_associations import SentObject
from dicom_node.studies.ledger.arrival.correcting import CORRECTED
from dicom_node.studies.ledger.arrival.rejecting import is_to_be_retracted
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.locks import locking
from dicom_node.studies.ledger.procedure_steps.announcements import (
    Signs,
    announced_open,
    signs_of,
)
from dicom_node.studies.ledger.queries.remarks import (
    NOTHING_TO_ANALYSE,
    gone_images,
    refused_by_rule,
)
from dicom_node.studies.ledger.states import AnalysisState, Event, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from dicom_node.studies.ledger.transitions import apply, begin
from dicom_node.studies.study_selection import image_facts_of, instances_of, selection_from
from mammoclip_core.counting import counted
from mammoclip_core.images.selection import has_standard_views

_ANNOUNCED_BY: Final = {"mpps": "MPPS", "ian": "IAN", "workitem": "a workitem"}
_NAMED: Final = 10
"""How many of the images that were announced and have not come are named."""

PORTION: Final = 50
"""Studies that one look reads: twice a second's arrivals of a busy site, many times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the node waits for further images of a study."""

    idle: timedelta
    grace: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the rules say of a study.

    Attributes
    ----------
    state_of : its instances as they were when this was decided
    """

    route: Route
    state_of: frozenset[tuple[int, int]]


def quiet_studies(
    session: Session,
    *,
    patience: Patience,
    at: datetime,
    limit: int = PORTION,
    after: tuple[datetime, int] | None = None,
) -> list[tuple[datetime, int]]:
    """List open studies that nothing came for lately: those that may be complete, newest first.

    Parameters
    ----------
    at : by the clock of the host that receives
    limit : number of studies that are read, however many are open
    after : the last one of a former list, with which this one goes on

    Returns
    -------
    list of (datetime, int)
        When each study received its last object, and its id.
    """
    since = at - min(patience.idle, patience.grace)
    query = select(Study.last_received_at, Study.id)
    query = query.where(in_states(Study, StudyState.OPEN), Study.last_received_at <= since)
    if after is not None:
        query = query.where(tuple_(Study.last_received_at, Study.id) < after)
    query = query.order_by(Study.last_received_at.desc(), Study.id.desc()).limit(limit)
    return [(received_at, study_id) for received_at, study_id in session.execute(query)]


def next_quiet(session: Session, *, patience: Patience, at: datetime) -> datetime | None:
    """Return when the next open study will have been quiet for long enough; None if none waits.

    Parameters
    ----------
    at : by the clock of the host that receives
    """
    instants = []
    for wait in (patience.idle, patience.grace):
        last = session.scalar(
            select(func.min(Study.last_received_at)).where(
                in_states(Study, StudyState.OPEN), Study.last_received_at > at - wait
            )
        )
        if last is not None:
            instants.append(last + wait)
    return min(instants, default=None)


class SettlingRounds:
    """Looks at a portion of the quiet studies at a time, so that a new one never waits for all.

    Each look takes the newest, and goes on among the older ones where the last look ended: those
    that are not complete, as one whose sender holds its association open, keep no place.
    """

    def __init__(self) -> None:
        self._reached: tuple[datetime, int] | None = None

    def next_portion(self, session: Session, *, patience: Patience, at: datetime) -> list[int]:
        """List the ids of the studies to look at now."""
        found = quiet_studies(session, patience=patience, at=at)
        if len(found) == PORTION:
            reached = found[-1] if self._reached is None else min(self._reached, found[-1])
            older = quiet_studies(session, patience=patience, at=at, after=reached)
            self._reached = older[-1] if len(older) == PORTION else None
            found += older
        else:
            self._reached = None
        # Whoever announces a study may say that nothing more is to be waited for.
        announced = announced_open(session, limit=PORTION)
        return list(dict.fromkeys([*(study_id for _, study_id in found), *announced]))


def complete_studies(
    session: Session,
    study_ids: Sequence[int],
    *,
    sent: Collection[SentObject],
    patience: Patience,
    at: datetime,
) -> list[int]:
    """Return those studies that are complete by now, without keeping any writer waiting.

    One of which that cannot be told is among them: to settle it raises what is wrong.
    """

    def may_be_complete(study: Study) -> bool:
        instances = instances_of(session, study)
        signs = signs_of(session, study.study_instance_uid, instances)
        try:
            return _is_complete(study, instances, sent, patience=patience, at=at, signs=signs)
        except Exception:  # noqa: BLE001  told where the study is settled
            return True

    studies = session.scalars(select(Study).where(Study.id.in_(study_ids))).all()
    return [study.id for study in studies if may_be_complete(study)]


def settle_if_complete(
    session: Session,
    study_id: int,
    *,
    sent: Collection[SentObject],
    patience: Patience,
    at: datetime,
    due_at: datetime | None = None,
    decided: Decided | None = None,
) -> Study | None:
    """Settle a study if it is complete, and make its analysis due; else return None.

    Parameters
    ----------
    sent : collection of SentObject
        What is coming or not registered yet, and the latest object of each open association.
    at : by the clock of the host that receives
    due_at : by the clock of the database; by default the same
    decided : what the rules say of the study as it was read before
        If it has changed since, the next look decides. By default what the settings say.
    """
    # Locked before its images are read, as by everybody who registers one: none comes in between.
    # Whoever holds it changes it, and the next look decides on what it is then.
    query = select(Study).where(Study.id == study_id, Study.state == StudyState.OPEN)
    study = session.scalars(locking(query, skip_locked=True)).first()
    if study is None:
        return None
    instances = instances_of(session, study)
    signs = signs_of(session, study.study_instance_uid, instances)
    if not _is_complete(study, instances, sent, patience=patience, at=at, signs=signs):
        return None
    if decided is not None and decided.state_of != state_of(instances):
        return None
    route = DEFAULT_ROUTE if decided is None else decided.route
    _settle(session, study, instances, at=due_at or at, route=route, signs=signs)
    return study


def settle_as_it_is(
    session: Session, study: Study, *, because: str, at: datetime, decided: Decided | None
) -> bool:
    """Settle a study that the caller has locked, with what has come of it.

    Parameters
    ----------
    because : who wants it, for the history

    Returns
    -------
    bool
        False if it has changed since the rules decided: they must decide again.
    """
    instances = instances_of(session, study)
    if decided is not None and decided.state_of != state_of(instances):
        return False
    route = DEFAULT_ROUTE if decided is None else decided.route
    signs = signs_of(session, study.study_instance_uid, instances)
    _settle(session, study, instances, at=at, route=route, signs=signs, because=because)
    return True


def state_of(instances: Iterable[Instance]) -> frozenset[tuple[int, int]]:
    """Return what changes whenever anything of a study does."""
    return frozenset((row.id, row.version) for row in instances)


def remark_of(route: Route) -> str:
    """Say why a study is not analysed by a rule, or waits because of one; empty if neither."""
    return route.held or (refused_by_rule(route.rule, route.refused) if route.refused else "")


def begin_analysis(
    session: Session, study: Study, *, because: str, at: datetime, route: Route = DEFAULT_ROUTE
) -> Analysis:
    """Add an analysis, due at once, for a new revision of a study that the caller has locked."""
    if route.priority is not None:
        # What came late makes no study less urgent than it was begun.
        study.priority = max(route.priority, study.priority if study.revision else route.priority)
    study.revision += 1
    return begin(
        session,
        Analysis(
            study_id=study.id,
            revision=study.revision,
            state=AnalysisState.DUE,
            version=0,
            attempts=0,
            priority=study.priority,
            due_at=at,
            created_at=at,
            lease_holder="",
            reason="",
            bundle="",
            rule=route.rule,
            route=route.to_json(),
        ),
        because=because if route.rule == DEFAULT_RULE else f"{because}; rule {route.rule}",
        at=at,
    )


def held_because(study: Study, instances: list[Instance]) -> str:
    """Say why a study is not analysed although it could be; empty if it is.

    Of images whose files were removed, an answer would say less than the one that was delivered.
    Where only some images were corrected to another patient, nobody can tell whose results these
    would be: the rest is waited for.
    """
    kept = [row for row in instances if row.state is InstanceState.REGISTERED]
    if gone := gone_images(instances):
        return (
            f"the files of {len(gone)} of its images were removed "
            f"({study.removed_because or 'by the retention'}): send the whole study again to have "
            "it analysed"
        )
    if is_one_patient(row.patient_digest or study.patient_digest for row in kept):
        return ""
    corrected = sum(row.reason == CORRECTED for row in kept)
    return (
        f"{corrected} of {len(kept)} images were corrected to another patient and the others were "
        "not: send the whole study again"
    )


def _is_complete(
    study: Study,
    instances: list[Instance],
    sent: Collection[SentObject],
    *,
    patience: Patience,
    at: datetime,
    signs: Signs,
) -> bool:
    if any(instance.state is InstanceState.RECEIVED for instance in instances):
        return False
    if signs.are_met({one.sop_instance_uid for one in instances}):
        return not any(_is_on_its_way(one, study) for one in sent)
    registered = [row for row in instances if row.state is InstanceState.REGISTERED]
    is_whole = has_standard_views(map(image_facts_of, registered))
    quiet_at = study.last_received_at + (patience.grace if is_whole else patience.idle)
    carriers = {instance.association for instance in instances}
    return at >= quiet_at and not any(
        _holds_open(one, study, carriers, until=quiet_at) for one in sent
    )


def _is_on_its_way(one: SentObject, study: Study) -> bool:
    return one.study_instance_uid == study.study_instance_uid and one.is_coming


def _holds_open(
    one: SentObject, study: Study, carriers: Collection[str], *, until: datetime
) -> bool:
    """Whether an object is of a study, or another of the study may follow it.

    An association that goes on with other studies, or with what the study has already, is no
    reason to wait for longer than the study itself.
    """
    if one.study_instance_uid == study.study_instance_uid:
        return one.is_coming or one.since <= until
    is_unknown = one.study_instance_uid is None
    return is_unknown and one.association in carriers and one.since <= until


def _settle(
    session: Session,
    study: Study,
    instances: list[Instance],
    *,
    at: datetime,
    route: Route,
    signs: Signs,
    because: str = "",
) -> None:
    chosen = selection_from(instances).chosen
    study.remark = held_because(study, instances) if chosen or gone_images(instances) else ""
    if not chosen and not study.remark and is_to_be_retracted(session, study, instances):
        because = "all its images were rejected: results are retracted"
        apply(session, study, Event.SETTLE, because=because, at=at)
        begin_analysis(session, study, because=because, at=at, route=route)
        return
    study.remark = study.remark or (remark_of(route) if chosen else NOTHING_TO_ANALYSE)
    if study.remark not in {"", NOTHING_TO_ANALYSE}:
        apply(session, study, Event.SETTLE, because=study.remark, at=at)
        return
    told = "; ".join(
        filter(
            None, (because, f"{counted(len(chosen), 'image')} to analyse", _told(signs, instances))
        )
    )
    apply(session, study, Event.SETTLE, because=told, at=at)
    if chosen:
        begin_analysis(session, study, because="study settled", at=at, route=route)


def _told(signs: Signs, instances: list[Instance]) -> str:
    """Say what was announced of a study, and what of that has not come; empty if nothing was."""
    if signs.of_others:
        by = _ANNOUNCED_BY.get(signs.of_others[0], signs.of_others[0])
        return f"{by} of another patient does not count"
    if not signs.by:
        return ""
    by = " and ".join(_ANNOUNCED_BY.get(sign, sign) for sign in signs.by)
    missing = signs.missing({one.sop_instance_uid for one in instances})
    if not missing:
        return f"all {len(signs.awaited)} that {by} announced are here"
    named = ", ".join(missing[:_NAMED])
    return f"{len(missing)} of {len(signs.awaited)} that {by} announced have not come: {named}"
