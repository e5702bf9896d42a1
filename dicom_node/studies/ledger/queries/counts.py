"""How many objects, studies, analyses and deliveries the ledger holds, by how they stand.

The canary's study is left out: it is no patient's, and its rows are removed before the next one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.studies.ledger.destinations.waits import HELD, Waits
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.queries.remarks import NOTHING_TO_ANALYSE, nothing_to_analyse
from dicom_node.studies.ledger.states import (
    AnalysisState,
    DeliveryState,
    InstanceState,
    StudyState,
)
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, Study

CONDITIONS: Final = (
    "receiving",
    "waiting",
    "analysing",
    "delivering",
    "delivered",
    "done",
    "held",
    "failed",
    "cancelled",
    "refused",
    "expired",
    "nothing-to-analyse",
    "superseded",
    "erased",
)
"""Those of `mammoclip-node studies`, and that of studies which it lists no more."""

_OF_ANALYSIS: Final = {
    AnalysisState.DUE: "waiting",
    AnalysisState.RUNNING: "analysing",
    AnalysisState.FAILED: "failed",
    AnalysisState.CANCELLED: "cancelled",
    AnalysisState.SUPERSEDED: "superseded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCounts:
    """What the ledger holds; each mapping adds up to all rows of its kind.

    Attributes
    ----------
    set_aside : objects that are set aside, by reason
    studies : by condition
    deliveries : by destination and state
    """

    instances: Mapping[InstanceState, int]
    set_aside: Mapping[str, int]
    studies: Mapping[str, int]
    analyses: Mapping[AnalysisState, int]
    deliveries: Mapping[tuple[str, DeliveryState], int]


def ledger_counts(session: Session, *, destinations: frozenset[str]) -> LedgerCounts:
    """Count what the ledger holds, in a fixed number of statements.

    Parameters
    ----------
    destinations : names of those in the settings
    """
    canary = select(Study.id).where(Study.study_instance_uid == CANARY_STUDY).scalar_subquery()
    of_canary = Analysis.study_id == canary
    aside = Instance.state == InstanceState.SET_ASIDE
    mine = Delivery.analysis_id.in_(select(Analysis.id).where(of_canary))
    instances = _counted(session, (Instance.state,), but=Instance.study_id == canary)
    analyses = _counted(session, (Analysis.state,), but=of_canary)
    reasons = _counted(session, (Instance.reason,), aside, but=Instance.study_id == canary)
    return LedgerCounts(
        instances={state: instances.get((state,), 0) for state in InstanceState}
        | {InstanceState.SET_ASIDE: sum(reasons.values())},
        set_aside={reason: count for (reason,), count in reasons.items()},
        studies=_studies(session, _withheld(session, destinations)),
        analyses={state: analyses.get((state,), 0) for state in AnalysisState},
        deliveries=_counted(session, (Delivery.destination, Delivery.state), but=mine),
    )


def set_aside_by_reason(session: Session) -> dict[str, int]:
    """Count the objects that are set aside and whose files are there, the most frequent first."""
    query = (
        select(Instance.reason, func.count())
        .where(in_states(Instance, InstanceState.SET_ASIDE), Instance.removed_at.is_(None))
        .group_by(Instance.reason)
        .order_by(func.count().desc())
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _counted(session: Session, by: tuple[Any, ...], *where: Any, but: Any) -> dict[Any, int]:
    """Count rows by columns, those of the canary subtracted: so that an index alone is read."""
    query = select(*by, func.count()).where(*where).group_by(*by)
    found = {tuple(key): count for *key, count in session.execute(query)}
    for *key, count in session.execute(query.where(but)):
        found[tuple(key)] -= count
    return {key: count for key, count in found.items() if count}


def _withheld(session: Session, destinations: frozenset[str]) -> list[str]:
    """Return the destinations to which nothing may be sent of what is due for them."""
    due = select(Delivery.destination).where(Delivery.state == DeliveryState.DUE).distinct()
    waits = Waits.read(session, destinations=destinations)
    return [name for name in session.scalars(due) if waits.holds.withheld(name)]


def _studies(session: Session, withheld: Collection[str]) -> dict[str, int]:
    """Count the studies by condition, as `reading.summary` tells it of each."""
    state = Delivery.state
    is_under_way = state.in_([DeliveryState.DUE, DeliveryState.SENDING])
    may_go = or_(
        state == DeliveryState.SENDING,
        and_(state == DeliveryState.DUE, Delivery.destination.not_in(withheld)),
    )
    # What is beside each other in one study, the most urgent first: one number tells it.
    rank = case(
        (state == DeliveryState.REFUSED, 5),
        (state == DeliveryState.EXPIRED, 4),
        (may_go, 3),
        (is_under_way, 2),
        (state == DeliveryState.HELD, 0),
        else_=1,
    )
    deliveries = (
        select(Delivery.analysis_id, func.max(rank).label("rank"))
        .group_by(Delivery.analysis_id)
        .subquery()
    )
    why = case(
        (Study.remark == "", ""),
        (nothing_to_analyse(Study.remark), NOTHING_TO_ANALYSE),
        else_=HELD,
    )
    by = (Study.state, Analysis.state, deliveries.c.rank)
    query = (
        select(*by, why.label("why_not"), func.count())
        .outerjoin(
            Analysis,
            and_(Analysis.study_id == Study.id, Analysis.revision == Study.revision),
        )
        .outerjoin(deliveries, deliveries.c.analysis_id == Analysis.id)
        .where(Study.study_instance_uid != CANARY_STUDY)
        .group_by(*by, "why_not")
    )
    found = dict.fromkeys(CONDITIONS, 0)
    for study, analysis, highest, words, count in session.execute(query):
        found[_condition(study, words, analysis, highest)] += count
    return found


def _condition(
    study: StudyState, remark: str, analysis: AnalysisState | None, rank: int | None
) -> str:
    if study is StudyState.ERASED:
        return "erased"
    if study is StudyState.OPEN:
        return "receiving"
    if analysis is None or remark:
        return HELD if remark == HELD else "nothing-to-analyse"
    if analysis is not AnalysisState.DONE:
        return _OF_ANALYSIS[analysis]
    if rank is None:
        return "done"
    return (HELD, "delivered", HELD, "delivering", "expired", "refused")[rank]
