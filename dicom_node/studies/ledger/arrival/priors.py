"""Former examinations that were fetched for comparison are kept, and analysed only on request."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.errors import SetAsideError
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance

PRIOR: Final = "prior"
"""Reason for which an image of a former examination is set aside."""


def require_to_be_analysed(session: Session, facts: InstanceFacts) -> None:
    """Set an image aside that was fetched as a former one, unless a person wants it analysed.

    Raises
    ------
    SetAsideError
    """
    if not facts.is_prior:
        return
    wanted = select(Instance.id).where(
        Instance.sop_instance_uid == facts.sop_instance_uid,
        Instance.state == InstanceState.TAKEN_BACK,
        Instance.reason == PRIOR,
    )
    if session.scalars(wanted.limit(1)).first() is None:
        raise SetAsideError(
            "prior", "a former examination, fetched for comparison: 'retry' has it analysed"
        )
