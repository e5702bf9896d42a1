"""What every page and every answer is made from: settings, ledger, spool, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import Request
from sqlalchemy.orm import Session

from dicom_node.pictures import Pictures
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.attempts import Attempts
from dicom_node.sign_in.provider.begun import BegunSignIns
from dicom_node.sign_in.sign_ins import Limits
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

if TYPE_CHECKING:
    from dicom_node.sign_in.provider.provider import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One node, as its console sees it.

    Attributes
    ----------
    provider : of identities; None if the settings name none
    """

    settings: Settings
    database: Database
    spool: Spool
    attempts: Attempts
    pictures: Pictures
    begun_sign_ins: BegunSignIns
    provider: Provider | None = None

    @property
    def limits(self) -> Limits:
        """Return when sign-ins end by themselves."""
        console = self.settings.console
        return Limits(
            idle=timedelta(minutes=console.idle_minutes),
            longest=timedelta(hours=console.longest_hours),
        )

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction on the ledger."""
        with self.database.reading() as session:
            yield session


def site_of(request: Request) -> Site:
    """Return the node that a request is about."""
    site = request.app.state.site
    assert isinstance(site, Site)
    return site
