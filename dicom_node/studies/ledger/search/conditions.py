"""The conditions of studies as SQL, and where the rare ones are found without reading them all."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
)

from dicom_node.studies.ledger.destinations.waits import HELD
from dicom_node.studies.ledger.in_states import in_states
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, State, StudyState
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

NEWEST: Final = and_(Analysis.study_id == Study.id, Analysis.revision == Study.revision)
"""The newest analysis of a study."""

NOTHING: Final = "nothing-to-analyse"
_UNDER_WAY: Final = {
    "waiting": AnalysisState.DUE,
    "analysing": AnalysisState.RUNNING,
    "failed": AnalysisState.FAILED,
    "cancelled": AnalysisState.CANCELLED,
    "superseded": AnalysisState.SUPERSEDED,
}
CONDITIONS: Final = (
    "receiving", "waiting", "analysing", "delivering", "delivered", "done", "held", "failed",
    "cancelled", "refused", "expired", NOTHING,
)  # fmt: skip
"""What a person may look for; a study is in one of them (`reading.summary`)."""

_STOPPED: Final = (DeliveryState.REFUSED, DeliveryState.EXPIRED, DeliveryState.HELD)
_WAITING: Final = (DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.HELD)


def is_in(condition: str, withheld: frozenset[str]) -> ColumnElement[bool]:
    """Return whether a study, joined with its newest analysis, is in a condition.

    Parameters
    ----------
    withheld : destinations to which nothing may be sent at present
    """
    settled = Study.state == StudyState.SETTLED
    refused_by_rule = Study.remark.startswith("not analysed by rule ")
    has_nothing = or_(Study.remark == "nothing to analyse", refused_by_rule)
    if condition == "receiving":
        return Study.state == StudyState.OPEN
    if condition == NOTHING:
        return and_(settled, or_(has_nothing, and_(Study.remark == "", Analysis.id.is_(None))))
    answered = and_(settled, Study.remark == "", Analysis.state == AnalysisState.DONE)
    if condition == HELD:
        said = and_(settled, Study.remark != "", ~has_nothing)
        return or_(said, and_(answered, _rank(withheld).in_([0, 2])))
    if condition in _UNDER_WAY:
        return and_(settled, Study.remark == "", Analysis.state == _UNDER_WAY[condition])
    if condition == "done":
        return and_(answered, ~exists().where(Delivery.analysis_id == Analysis.id))
    return and_(answered, _rank(withheld) == _RANKS[condition])


_RANKS: Final[Mapping[str, int]] = {"delivered": 1, "delivering": 3, "expired": 4, "refused": 5}


def _rank(withheld: frozenset[str]) -> Any:
    """Return the number of what is most urgent among the deliveries of an analysis."""
    state = Delivery.state
    under_way = state.in_([DeliveryState.DUE, DeliveryState.SENDING])
    stays = Delivery.destination.in_(sorted(withheld)) if withheld else false()
    held_back = and_(state == DeliveryState.DUE, stays)
    rank = case(
        (state == DeliveryState.REFUSED, 5),
        (state == DeliveryState.EXPIRED, 4),
        (held_back, 2),
        (under_way, 3),
        (state == DeliveryState.HELD, 0),
        else_=1,
    )
    query = select(func.max(rank)).where(Delivery.analysis_id == Analysis.id)
    return query.correlate(Analysis).scalar_subquery()


def rare(condition: str) -> list[Select[Any]]:
    """Return questions that a partial index answers, one of which names each such study.

    None are returned for what most studies are in: those are found from the newest on.
    """
    remarked = select(Study.id).where(Study.remark != literal_column("''"))
    of_their_own: dict[str, list[Select[Any]]] = {
        "receiving": [select(Study.id).where(in_states(Study, StudyState.OPEN))],
        NOTHING: [remarked],
        HELD: [remarked, *_of_deliveries(_STOPPED, _WAITING)],
        "delivering": _of_deliveries(_WAITING),
        "refused": _of_deliveries(_STOPPED, only=DeliveryState.REFUSED),
        "expired": _of_deliveries(_STOPPED, only=DeliveryState.EXPIRED),
    }
    if condition in of_their_own:
        return of_their_own[condition]
    if condition in {"failed", "cancelled", "waiting", "analysing"}:
        state = _UNDER_WAY[condition]
        return [select(Analysis.study_id).where(in_states(Analysis, state), *also) for also in (
            ((Analysis.dispatched_at.is_(None),), (Analysis.dispatched_at.is_not(None),))
            if condition == "waiting"
            else ((),)
        )]  # fmt: skip
    return []


def _of_deliveries(
    *indexes: tuple[State, ...], only: DeliveryState | None = None
) -> list[Select[Any]]:
    found = []
    for states in indexes:
        query = select(Analysis.study_id).join(Delivery, Delivery.analysis_id == Analysis.id)
        query = query.where(in_states(Delivery, *states))
        found.append(query if only is None else query.where(Delivery.state == only))
    return found
