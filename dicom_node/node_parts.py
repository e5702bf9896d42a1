"""Parts of the node that commands use too, as the settings want them."""

import stat
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from dicom_node.dicomweb.web_server import WebServer
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.serving.child_server import ChildServer
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.destinations.overview import removed_destinations
from dicom_node.studies.ledger.due.pauses import Holds
from dicom_node.studies.ledger.storing import Stored
from dicom_node.studies.retention import Retention
from dicom_node.tls import server_context

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
        keeps_identifiers=settings.ledger.identifiers,
    )


def retention_of(
    settings: Settings, spool: Spool, database: Database, *, believes: Callable[[datetime], bool]
) -> Retention:
    """Return the retention of the settings, which believes the clock or not."""
    return Retention(
        spool,
        database,
        settings.retention,
        confirming=settings.confirming_names,
        clock=database.now,
        believes=believes,
    )


def web_servers_of(settings: Settings, spool: Spool) -> list[ChildServer]:
    """Return the HTTP services that the settings want, each in a process of its own."""
    servers: list[ChildServer] = []
    if settings.dicomweb.enabled:
        servers.append(
            WebServer(
                settings.dicomweb,
                settings.receive,
                spool,
                tls=settings.tls,
                ledger_url=settings.ledger_url,
                log_format=settings.log_format,
            )
        )
    if settings.console.enabled:
        if settings.console.tls:  # what is wrong with the certificates is said before the start
            server_context(settings.tls, asks_for_certificate=False)
        # What reads the file is a class of its own, which no other process knows.
        values = {name: getattr(settings, name) for name in Settings.model_fields}
        servers.append(
            ChildServer(
                settings.console,
                section="console",
                module="dicom_node.console.web_process",
                order=Settings.model_construct(**values),
            )
        )
    return servers


def warn_of_removed_destinations(settings: Settings, database: Database) -> None:
    """Log a warning for each destination that the settings lack and deliveries wait for."""
    known = settings.destination_names
    with database.reading() as session:
        removed = removed_destinations(session, known)
    for name, count in removed.items():
        log.warning(
            "destination_removed",
            destination=name,
            count=count,
            detail=Holds(destinations=known).withheld(name),
        )


def warn_of_open_settings(settings: Settings) -> None:
    """Log a warning if every user can read the settings file, which may hold passwords."""
    file = settings.toml_file
    if file is not None and file.stat().st_mode & stat.S_IROTH:
        log.warning(
            "settings_open_to_others",
            detail=f"every user can read {file}: chmod 600 it, or 640 for a group of its own",
        )
