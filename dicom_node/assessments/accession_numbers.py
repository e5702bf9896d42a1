"""Finds studies by accession number, of which the ledger has but a keyed digest."""

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pydicom
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from dicom_node.studies.ledger.assessment_tables import AccessionDigest
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.reach import Reach

_PORTION: Final = 200


def accession_digest(accession_number: str, key: bytes) -> str:
    """Return the digest of an accession number under the key of the installation."""
    message = f"accession number\0{accession_number.strip()}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def learn_accession_numbers(database: Database, reach: Reach, key: bytes) -> Iterator[int]:
    """Digest the numbers of studies that were not looked at yet; yield how many at each step.

    Studies whose files are out of reach, or were removed, are looked at again the next time.
    """
    after = 0
    while True:
        with database.reading() as session:
            reach.look(session)
            studies = _unknown(session, after)
            files = [(one, _file_of(session, reach, one)) for one in studies]
        if not studies:
            return
        after = studies[-1]
        numbers = [(one, _number_in(file)) for one, file in files if file is not None]
        with database.writing() as session:
            session.add_all(
                AccessionDigest(
                    study_id=one, digest=accession_digest(number, key) if number else ""
                )
                for one, number in numbers
                if number is not None
            )
        yield len(numbers)


def studies_of_accession(session: Session, accession_number: str, key: bytes) -> list[int]:
    """Return the studies with an accession number, as far as they are known."""
    digest = accession_digest(accession_number, key)
    query = select(AccessionDigest.study_id).where(AccessionDigest.digest == digest)
    return list(session.scalars(query))


def _unknown(session: Session, after: int) -> list[int]:
    is_known = exists().where(AccessionDigest.study_id == Study.id)
    query = (
        select(Study.id)
        .where(Study.id > after, Study.removed_at.is_(None), ~is_known)
        .order_by(Study.id)
        .limit(_PORTION)
    )
    return list(session.scalars(query))


def _file_of(session: Session, reach: Reach, study_id: int) -> Path | None:
    query = (
        select(Instance)
        .where(
            Instance.study_id == study_id,
            Instance.state == InstanceState.REGISTERED,
            Instance.place != "",
        )
        .order_by(Instance.id.desc())
        .limit(1)
    )
    row = session.scalars(query).first()
    return None if row is None else reach.image(row)


def _number_in(file: Path) -> str | None:
    """Return the accession number in a file's header; None if it cannot be read."""
    try:
        header = pydicom.dcmread(file, specific_tags=["AccessionNumber"], stop_before_pixels=True)
    except Exception:  # noqa: BLE001  damaged files can raise any error
        return None
    return str(header.get("AccessionNumber") or "").strip()
