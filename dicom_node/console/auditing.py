"""Enters in the audit what people and programs do by console and API, as commands do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.audit.acts import Act
from dicom_node.audit_trail import Account, audited
from dicom_node.console.site import Site

VIA: Final = "console"


@contextmanager
def entered(
    site: Site, who: str, act: Act, *, study: str = "", detail: str = ""
) -> Iterator[Account]:
    """Enter that somebody does something, and how it ended.

    Parameters
    ----------
    who : account, or ``token NAME`` of a program
    study : Study Instance UID that is named
    detail : what is wanted, in words, without a name or ID of a patient

    Yields
    ------
    Account
        Where to say what was done.

    Raises
    ------
    AuditError
        The audit file cannot be written; nothing was done.
    """
    studies = [study] if study else []
    with audited(
        site.settings, site.database, act, who=who, via=VIA, studies=studies, detail=detail
    ) as said:
        yield said
