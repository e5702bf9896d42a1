"""Which objects of an archive the node has received already, and what came of their studies."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import UnreadableFileError
from dicom_node.facts.file_meta import read_file_meta
from dicom_node.facts.study_in_stream import study_of_file
from dicom_node.fetch.retrospective_run import Fate, FetchedStudy
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.arrival.priors import PRIOR
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import AnalysisState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study
from mammoclip_core.findings_document import from_json
from mammoclip_core.many_studies.rows import COLUMNS, identity_of, rows_of

TABLE_COLUMNS: Final[dict[str, type]] = {
    "line": int,
    "fate": str,
    "prior": bool,
    "analysis": str,
    **COLUMNS,
}
"""Columns of the table of a run: those of `mammoclip-predict images`, and of which line of the
list a row is, what became of its study, and how far its analysis is."""

_PORTION: Final = 500
_NO_REASON: Final = "-"
_IN_THE_NODE: Final = frozenset({Fate.RETRIEVED, Fate.INCOMPLETE, Fate.THERE})


def received_of(
    session: Session, study: str, wanted: Collection[str], *, with_priors: bool = True
) -> set[str]:
    """Return which objects of a study were received before, analysed or set aside.

    Parameters
    ----------
    with_priors : also those that were set aside since they were fetched for comparison
    """
    uids = sorted(wanted)
    found: set[str] = set()
    for first in range(0, len(uids), _PORTION):
        query = (
            select(Instance.sop_instance_uid)
            .join(Study, Study.id == Instance.study_id)
            .where(
                Study.study_instance_uid == study,
                Instance.removed_at.is_(None),
                Instance.reason != (_NO_REASON if with_priors else PRIOR),
                Instance.sop_instance_uid.in_(uids[first : first + _PORTION]),
            )
        )
        found.update(session.scalars(query))
    return found


def waiting_in(spool: Spool) -> set[tuple[str, str]]:
    """Return study and object of what is safe in a spool and not registered yet."""
    found = set()
    for receipt in spool.incoming():
        file = spool.incoming_file(receipt)
        try:
            study = study_of_file(file)
            with file.open("rb") as stream:
                found.add((study or "", read_file_meta(stream).sop_instance_uid))
        except (OSError, UnreadableFileError):
            continue  # registered meanwhile, or nothing that could be asked for
    return found


def held_now(database: Database, spool: Spool) -> Callable[[str, Collection[str]], Collection[str]]:
    """Return what says which of some objects of a study the node has, registered or not."""

    def held(study: str, wanted: Collection[str]) -> set[str]:
        waiting = waiting_in(spool)  # before the ledger is asked: what is registered is there
        with database.reading() as session:
            received = received_of(session, study, wanted)
        return received | {uid for uid in wanted if (study, uid) in waiting}

    return held


def known_of(session: Session, wanted: Collection[str]) -> set[str]:
    """Return which objects were received before, whatever became of them, removed ones too."""
    uids = sorted(wanted)
    found: set[str] = set()
    for first in range(0, len(uids), _PORTION):
        portion = uids[first : first + _PORTION]
        query = select(Instance.sop_instance_uid).where(Instance.sop_instance_uid.in_(portion))
        found.update(uid for uid in session.scalars(query) if uid)
    return found


def rows_of_run(session: Session, studies: Iterable[FetchedStudy]) -> Iterator[dict[str, Any]]:
    """Yield rows with the scores of each study, and one row for what has none, with the reason."""
    for one in studies:
        about = {"line": one.line, "fate": str(one.fate), "prior": one.is_prior}
        last = _last_analysis(session, one.study_instance_uid)
        if last is not None and last.state is AnalysisState.DONE and last.findings:
            findings = from_json(last.findings)
            shared = {**about, "analysis": str(last.state), **identity_of(findings)}
            rows = rows_of(one.study_instance_uid, findings, {})
            nothing = {"study": one.study_instance_uid, "level": "study"}
            yield from ({**shared, **row} for row in rows or [nothing])
            continue
        state = "" if last is None else str(last.state)
        reason = one.reason or (last.reason if last is not None else "")
        yield {
            **about,
            "study": one.study_instance_uid,
            "level": "study",
            "analysis": state or "not begun",
            "reason": reason,
        }


def is_under_way(session: Session, studies: Iterable[FetchedStudy]) -> bool:
    """Return whether any study that the node has is still to be analysed."""
    waiting = {AnalysisState.DUE, AnalysisState.RUNNING}
    for uid in {one.study_instance_uid for one in studies if one.fate in _IN_THE_NODE}:
        last = _last_analysis(session, uid)
        study = session.scalars(select(Study).where(Study.study_instance_uid == uid)).first()
        if study is None or study.state == "open" or (last is not None and last.state in waiting):
            return True
    return False


def _last_analysis(session: Session, study: str) -> Analysis | None:
    query = (
        select(Analysis)
        .join(Study, Study.id == Analysis.study_id)
        .where(Study.study_instance_uid == study)
        .order_by(Analysis.revision.desc())
        .limit(1)
    )
    return session.scalars(query).first()
