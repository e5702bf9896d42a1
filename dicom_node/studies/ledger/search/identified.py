"""Studies by the identifiers of a query, which may hold wild cards and ranges (PS3.4 C.2.2.2)."""

import re
from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.facts.identifiers import folded
from dicom_node.studies.ledger.identifiers.identifier_table import StudyIdentifiers
from dicom_node.studies.ledger.tables import Study

_COLUMNS: Final[Mapping[str, InstrumentedAttribute[str]]] = {
    "AccessionNumber": StudyIdentifiers.accession_key,
    "PatientID": StudyIdentifiers.patient_id_key,
    "PatientName": StudyIdentifiers.name_key,
    "StudyDate": StudyIdentifiers.study_date,
}
_LAST: Final = "\U0010ffff"
_WILD: Final = re.compile(r"[*?]")


def identified(session: Session, wanted: Mapping[str, str], *, limit: int) -> list[str] | None:
    """Return the Study Instance UIDs that may match, among them all that do and are indexed.

    Parameters
    ----------
    wanted : values by keyword; other keywords are passed over
    limit : more studies than this are as good as all

    Returns
    -------
    list of str or None
        None if the index does not narrow the search.
    """
    conditions = [
        condition
        for keyword, value in wanted.items()
        if keyword in _COLUMNS and (condition := _condition(keyword, value)) is not None
    ]
    if not conditions:
        return None
    query = (
        select(Study.study_instance_uid)
        .join(StudyIdentifiers, StudyIdentifiers.study_id == Study.id)
        .where(*conditions)
        .limit(limit + 1)
    )
    found = list(dict.fromkeys(session.scalars(query)))
    return None if len(found) > limit else found


def _condition(keyword: str, value: str) -> ColumnElement[bool] | None:
    column = _COLUMNS[keyword]
    if keyword == "StudyDate":
        first, dash, last = value.partition("-")
        if not dash:
            return column == value if value.isdecimal() else None
        return and_(column >= first, column <= (last or _LAST))
    # Up to the first wild card; what follows, the headers decide.
    beginning = folded(_WILD.split(value, maxsplit=1)[0])
    if not beginning:
        return None
    if _WILD.search(value) is None and keyword != "PatientName":
        return column == beginning
    return and_(column >= beginning, column < beginning + _LAST)
