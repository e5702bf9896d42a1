"""The view *Now*: whether the node works, told by its traffic."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import Request
from sqlalchemy.orm import Session

from dicom_node.commands.waiting import waiting_objects
from dicom_node.console.pages import Entry, page
from dicom_node.console.queries import Sender, WaitingWork, outlooks, senders
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.roles import Role
from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from dicom_node.studies.ledger.canary_runs import CanaryFacts, is_overdue, last_run
from dicom_node.studies.ledger.destinations.overview import (
    DestinationSummary,
    destination_summaries,
)
from dicom_node.studies.ledger.due.workers import WorkerFacts, workers
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.backlog import Waiting, backlog

routes = Routes("now", pages=True)
ENTRY = Entry("Now", "/")

_OLD: Final = timedelta(minutes=30)
_QUEUES: Final = {GPU_QUEUE: "analyses", DELIVER_QUEUE: "deliveries"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The node at one moment.

    Attributes
    ----------
    troubles : what a person should look at, in words with a path; none: all is well
    """

    at: datetime
    troubles: Sequence[tuple[str, str]]
    senders: Sequence[Sender]
    waiting: Sequence[WaitingWork]
    incoming: int
    canary: CanaryFacts | None
    destinations: Sequence[DestinationSummary]
    workers: Sequence[WorkerFacts]
    free_bytes: int
    disk_bytes: int


@routes.get("/", Role.VIEWER)
def now(request: Request) -> Any:
    """Show the node at this moment."""
    site = site_of(request)
    return page(request, "now.html", title="Now", facts=facts_now(site))


def facts_now(site: Site) -> Now:
    """Return how the node does just now."""
    settings = site.settings
    incoming = waiting_objects(settings.spool).objects
    disk = shutil.disk_usage(settings.spool)
    with site.reading() as session:
        at = database_time(session)
        waiting = backlog(session)
        known = workers(session)
        destinations = summaries_of(session, settings)
        canary = last_run(session)
        return Now(
            at=at,
            troubles=_troubles(
                settings,
                at,
                known=known,
                destinations=destinations,
                canary=canary,
                free_bytes=disk.free,
            )
            + _old(waiting.analyses, at)
            + _old(waiting.deliveries, at),
            senders=senders(session, at),
            waiting=outlooks(session, at, waiting, destinations),
            incoming=incoming,
            canary=canary,
            destinations=destinations,
            workers=known,
            free_bytes=disk.free,
            disk_bytes=disk.total,
        )


def summaries_of(session: Session, settings: Settings) -> list[DestinationSummary]:
    """Return each destination at a glance."""
    return destination_summaries(
        session,
        tuple(one.name for one in settings.destinations),
        known=settings.destination_names,
        dry={one.name for one in settings.destinations if one.dry},
    )


def _troubles(
    settings: Settings,
    at: datetime,
    *,
    known: Sequence[WorkerFacts],
    destinations: Sequence[DestinationSummary],
    canary: CanaryFacts | None,
    free_bytes: int,
) -> list[tuple[str, str]]:
    found = [
        (f"no worker serves {things}: what is due waits", "/workers")
        for queue, things in _QUEUES.items()
        if not any(one.is_running and queue in one.queues for one in known)
    ]
    found += [(f"worker {one.name} went silent", "/workers") for one in known if one.silent]
    found += [
        (f"destination {one.name} is {one.condition}: {one.reason}", "/failures")
        for one in destinations
        if one.condition not in {"ready", "dry"}
    ]
    if canary is not None and canary.broken:
        found.append((canary.in_words(at), "/"))
    if is_overdue(canary, settings.canary, at):
        found.append(("no canary study was tried when it should have been", "/"))
    if free_bytes < 2 * settings.receive.minimum_free_bytes:
        found.append(("the disk of the spool is nearly full: objects will be refused", "/"))
    return found


def _old(waiting: Waiting, at: datetime) -> list[tuple[str, str]]:
    if waiting.oldest is None or at - waiting.oldest < _OLD:
        return []
    minutes = int((at - waiting.oldest).total_seconds() // 60)
    return [(f"the oldest of {waiting.count} {waiting.things} has waited for {minutes} min", "/")]
