"""Keeps the identifiers of studies true: noted with each image, forgotten with its file."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import astuple

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from dicom_node.facts.identifiers import Identifiers, folded
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance

_COUNTS = (InstanceState.RECEIVED, InstanceState.REGISTERED)


def noted(session: Session, study_id: int, found: Identifiers) -> int:
    """Enter what an image of a study says, unless another one has said the same; return the row.

    The study is locked by the caller, so that no other process enters the same.
    """
    digest = hashlib.sha256("\n".join(astuple(found)).encode("utf-8", "replace")).hexdigest()
    query = select(StudyIdentifiers.id).where(
        StudyIdentifiers.study_id == study_id, StudyIdentifiers.digest == digest
    )
    known = session.scalars(query).first()
    if known is not None:
        return known
    row = StudyIdentifiers(
        study_id=study_id,
        digest=digest,
        accession_number=found.accession_number,
        patient_id=found.patient_id,
        patient_name=found.patient_name,
        birth_date=found.birth_date,
        study_date=found.study_date,
        accession_key=folded(found.accession_number),
        patient_id_key=folded(found.patient_id),
        name_key=folded(found.patient_name),
    )
    session.add(row)
    session.flush()
    return row.id


def forget_without_files(session: Session, study_ids: Collection[int]) -> None:
    """Forget what no image of some studies says whose file is still there."""
    session.flush()
    said = exists().where(
        Instance.study_id == StudyIdentifiers.study_id,
        Instance.identifiers_id == StudyIdentifiers.id,
        Instance.place != "",
    )
    session.execute(
        delete(StudyIdentifiers)
        .where(StudyIdentifiers.study_id.in_(study_ids), ~said)
        .execution_options(synchronize_session=False)
    )


def forget_all(session: Session) -> int:
    """Forget the identifiers of all studies, as when they are no longer wanted; return how many."""
    count = session.scalar(select(func.count()).select_from(StudyIdentifiers)) or 0
    if count:
        session.execute(delete(StudyIdentifiers))
        session.execute(
            update(Instance).where(Instance.identifiers_id.is_not(None)).values(identifiers_id=None)
        )
    return count


def identifiers_of(session: Session, study_ids: Collection[int]) -> Mapping[int, Identifiers]:
    """Return what studies are known by: what their newest image says that is not set aside.

    Of a study of which everything is set aside, what the newest of that says.
    """
    counts = Instance.state.in_(_COUNTS)
    query = (
        select(StudyIdentifiers, func.max(Instance.id).filter(counts), func.max(Instance.id))
        .join(Instance, Instance.identifiers_id == StudyIdentifiers.id)
        .where(
            StudyIdentifiers.study_id.in_(study_ids),
            Instance.study_id.in_(study_ids),
            Instance.place != "",
        )
        .group_by(StudyIdentifiers.id)
    )
    newest: dict[int, tuple[tuple[int, int], StudyIdentifiers]] = {}
    for row, counted, last in session.execute(query):
        rank = (counted or 0, last)
        if row.study_id not in newest or rank > newest[row.study_id][0]:
            newest[row.study_id] = (rank, row)
    return {
        study_id: Identifiers(
            accession_number=row.accession_number,
            patient_id=row.patient_id,
            patient_name=row.patient_name,
            birth_date=row.birth_date,
            study_date=row.study_date,
        )
        for study_id, (_, row) in newest.items()
    }
