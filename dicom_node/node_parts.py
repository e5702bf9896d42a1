"""Parts of the node that commands use too, as the settings want them."""

import stat
from datetime import UTC, datetime

import structlog

from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.storing import Stored

log = structlog.get_logger("dicom_node.node_process")


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def open_spool(settings: Settings) -> Spool:
    """Open the spool of the settings."""
    return Spool(settings.spool, minimum_free_bytes=settings.receive.minimum_free_bytes)


def registrar_of(settings: Settings, spool: Spool, database: Database) -> Registrar:
    """Return the registrar of the settings, for whoever owns the spool."""
    return Registrar(
        spool,
        database,
        settings.receive,
        clock=database.now,
        takes_tomosynthesis=settings.model.tomosynthesis != "refuse",
        other_spools=settings.other_spools,
        stored=Stored.WANTED if settings.store.is_on else Stored.NOT,
    )


def warn_of_open_settings(settings: Settings) -> None:
    """Log a warning if every user can read the settings file, which may hold passwords."""
    file = settings.toml_file
    if file is not None and file.stat().st_mode & stat.S_IROTH:
        log.warning(
            "settings_open_to_others",
            detail=f"every user can read {file}: chmod 600 it, or 640 for a group of its own",
        )
