"""A study by what a person calls it: its UID, or an accession number."""

from typing import Final

from sqlalchemy.orm import Session

from dicom_node.errors import NodeError, UnknownStudyError
from dicom_node.studies.ledger.queries.reading import find_study
from dicom_node.studies.ledger.search.study_search import StudyFilter, find_studies

_LISTED: Final = 10


def study_named(session: Session, text: str) -> str:
    """Return the Study Instance UID of a study.

    Parameters
    ----------
    text : Study Instance UID, or accession number

    Raises
    ------
    UnknownStudyError
        The ledger has none of this name.
    NodeError
        Several studies have this accession number.
    """
    try:
        return find_study(session, text).study_instance_uid
    except UnknownStudyError:
        if not text.strip() or (set(text) <= set("0123456789.") and "." in text):
            raise
    found = find_studies(session, StudyFilter(accession_number=text), limit=_LISTED).studies
    if not found:
        # Without the number: terminals are recorded.
        raise UnknownStudyError(
            "no study with this accession number is in the ledger, or its files were removed: "
            "'mammoclip-node studies' lists those that are"
        )
    if len(found) > 1:
        uids = ", ".join(one.study_instance_uid for one in found)
        raise NodeError(f"several studies have this accession number; name one by its UID: {uids}")
    return found[0].study_instance_uid
