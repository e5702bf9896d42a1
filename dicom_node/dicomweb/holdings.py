"""What the node can show: the images that it analyses, and the newest results of each study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import AnalysisState, InstanceState
from dicom_node.studies.ledger.tables import Analysis, Instance, ResultObject, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldObject:
    """One object of which the spool has the file."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    file: Path


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """A study that the node has files of; `version` changes with them."""

    study_instance_uid: str
    version: int


def held_studies(session: Session, uids: Sequence[str], *, limit: int) -> list[HeldStudy]:
    """Return studies with files, most recently received first.

    Parameters
    ----------
    uids : only these; none: all
    """
    query = select(Study.study_instance_uid, Study.version).where(
        Study.removed_at.is_(None), Study.study_instance_uid != CANARY_STUDY
    )
    if uids:
        query = query.where(Study.study_instance_uid.in_(uids))
    newest_first = query.order_by(Study.last_received_at.desc(), Study.id.desc()).limit(limit)
    return [HeldStudy(*row) for row in session.execute(newest_first)]


def held_objects(session: Session, spool: Spool, study_instance_uid: str) -> list[HeldObject]:
    """Return the images of a study that the node analyses, then the results of its last analysis.

    What is set aside is not shown, nor are results that a newer analysis has replaced.
    """
    study = session.scalars(
        select(Study).where(
            Study.study_instance_uid == study_instance_uid, Study.removed_at.is_(None)
        )
    ).first()
    if study is None:
        return []
    images = select(Instance).where(
        Instance.study_id == study.id,
        Instance.state == InstanceState.REGISTERED,
        Instance.removed_at.is_(None),
        Instance.place != "",
    )
    last = session.scalars(
        select(Analysis)
        .where(Analysis.study_id == study.id, Analysis.state == AnalysisState.DONE)
        .order_by(Analysis.revision.desc())
        .limit(1)
    ).first()
    rows: list[Instance | ResultObject] = list(session.scalars(images.order_by(Instance.id)))
    if last is not None:
        results = select(ResultObject).where(
            ResultObject.analysis_id == last.id,
            ResultObject.removed_at.is_(None),
            ResultObject.place != "",
        )
        rows += session.scalars(results.order_by(ResultObject.id))
    return [
        HeldObject(
            study_instance_uid=study_instance_uid,
            series_instance_uid=row.series_instance_uid,
            sop_instance_uid=row.sop_instance_uid,
            sop_class_uid=row.sop_class_uid,
            file=spool.file(row.place),
        )
        for row in rows
    ]
