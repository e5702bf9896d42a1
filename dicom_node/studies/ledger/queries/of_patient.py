"""Finds the images of a patient by the digests of an ID, without knowing any patient."""

from collections.abc import Collection

from pydicom.dataset import Dataset
from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.facts.identity import PatientDigest
from dicom_node.studies.ledger.states import InstanceState, StudyState
from dicom_node.studies.ledger.tables import Instance, Study

_THERE = (InstanceState.RECEIVED, InstanceState.REGISTERED, InstanceState.REMOVED)


def images_of_patient(
    session: Session, ids: Collection[tuple[str, str]], key: bytes, *, compares_issuer: bool
) -> list[tuple[Study, Instance]]:
    """Return the images, each with its study, whose patient has one of some IDs.

    Parameters
    ----------
    ids : Patient ID and its issuer, which may be empty
    compares_issuer : leave images out that name another issuer
    """
    query = (
        select(Study.id, Study.study_instance_uid, Instance.patient_digest)
        .join(Instance)
        .where(Study.state != StudyState.ERASED, Instance.patient_digest != "")
        .distinct()
    )
    found = {
        (study, digest)
        for study, uid, digest in session.execute(query)
        if any(_is_of(digest, uid, one, key, compares_issuer=compares_issuer) for one in ids)
    }
    images = (
        select(Study, Instance)
        .join(Instance)
        .where(Study.id.in_({study for study, _ in found}), Instance.state.in_(_THERE))
        .order_by(Instance.id)
    )
    return [
        (study, row)
        for study, row in session.execute(images)
        if (study.id, row.patient_digest) in found
    ]


def _is_of(
    stored: str, study: str, patient: tuple[str, str], key: bytes, *, compares_issuer: bool
) -> bool:
    dataset = Dataset()
    dataset.StudyInstanceUID = study
    dataset.PatientID, dataset.IssuerOfPatientID = patient
    wanted = PatientDigest.of(dataset, key).keyed
    words = dict(word.split("=", 1) for word in stored.split() if "=" in word)
    if words.get("PatientID") != wanted.get("PatientID"):
        return False
    issuers = (words.get("IssuerOfPatientID"), wanted.get("IssuerOfPatientID"))
    return not compares_issuer or None in issuers or issuers[0] == issuers[1]
