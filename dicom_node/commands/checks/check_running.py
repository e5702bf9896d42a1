"""What ``mammoclip-node check`` finds out about the work itself: node, workers and backlog."""

import fcntl
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from dicom_node.commands.checks.checked import Checked, Level
from dicom_node.errors import NodeError
from dicom_node.settings.operation.canary import CanarySettings
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE
from dicom_node.studies.ledger.canary_runs import CanaryFacts, is_overdue, last_run
from dicom_node.studies.ledger.database import DATABASE_TROUBLE, Database
from dicom_node.studies.ledger.due.pauses import Holds, pauses
from dicom_node.studies.ledger.due.workers import WorkerFacts, workers
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.queries.backlog import Backlog, backlog
from dicom_node.studies.ledger.queries.unproven import (
    GIVEN_UP_DAYS,
    Unproven,
    owed_elsewhere,
    unproven,
)

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
_CONNECT_SECONDS: Final = 3.0
_QUEUES: Final = {GPU_QUEUE: "analyse", DELIVER_QUEUE: "deliver"}


def check_running(settings: Settings, *, old_after: timedelta) -> Iterator[Checked]:
    """Yield whether node and workers run, and how old the oldest work is.

    Parameters
    ----------
    old_after : age of the oldest waiting work from which on it is a warning
    """
    yield _account(settings.spool)
    yield _node(settings)
    # What is wrong with the ledger, its own check has said.
    with suppress(NodeError, DATABASE_TROUBLE), closing(Database(settings.ledger_url)) as database:
        if not database.has_tables():
            return  # nothing was ever received, and no worker can say that it is there
        with database.reading() as session:
            at = database_time(session)
            known = workers(session)
            waiting = backlog(session)
            paused = [one.subject for one in pauses(session)]
            canary = last_run(session)
            to_prove = unproven(session, sorted(settings.confirming_names), at=at)
            owed = owed_elsewhere(session, settings.destination_names)
        yield from _workers(known, at)
        yield _backlog(waiting, at, old_after, paused)
        for one in to_prove:
            yield _proof(one, at, max(old_after, _time_to_prove(settings, one.destination)))
        for name, count in owed.items():
            yield _proof_of_removed(name, count, settings.destination_names)
        yield from _canary(settings.canary, canary, at)


def _account(spool: Path) -> Checked:
    """Tell whether this account is the one whose files the node writes."""
    name = "account"
    if not spool.exists():
        return Checked(name=name)
    owner = spool.stat().st_uid
    if owner == os.geteuid():
        return Checked(name=name)
    mine, its = _account_name(os.geteuid()), _account_name(owner)
    return Checked(
        name=name,
        level=Level.WARNING,
        detail=f"{spool} belongs to {its}, and this check ran as {mine}: it does not show what "
        f"the node may do. Run it as {its}: runuser -u {its} -- mammoclip-node check",
    )


def _account_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"account {number}"


def _node(settings: Settings) -> Checked:
    """Tell whether a node works on this spool and takes connections."""
    host, port = settings.receive.host, settings.receive.port
    holds, answers = _is_held(settings.spool), _takes_connections(host, port)
    if holds and answers:
        return Checked(name="node", detail=f"receives on {host}:{port}")
    if holds:
        detail = (
            f"a node works on {settings.spool}, but takes no connections on {host}:{port}: see its "
            "log, and whether host and port under [receive] were changed since it started"
        )
    elif answers:
        detail = (
            f"no node works on {settings.spool}, and another program listens on {host}:{port}: "
            "stop that, or set another port under [receive]"
        )
    else:
        detail = (
            "does not run: images are refused. Start it: 'mammoclip-node serve', or where it is a "
            "service: systemctl start mammoclip-node"
        )
    return Checked(name="node", level=Level.CRITICAL, detail=detail)


def _is_held(spool: Path) -> bool:
    """Return whether a node process has locked the spool."""
    try:
        with (spool / "node.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _takes_connections(host: str, port: int) -> bool:
    address = (_ANY_ADDRESS.get(host, host), port)
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _workers(known: list[WorkerFacts], at: datetime) -> Iterator[Checked]:
    """Tell of each queue who serves it, and of workers that went silent."""
    for queue, does in _QUEUES.items():
        serving = [one for one in known if one.is_running and queue in one.queues]
        name = f"workers that {does}"
        if serving:
            detail = ", ".join(f"{one.name} ({_processes(one)})" for one in serving)
            troubles = [
                f"{one.name} takes nothing: {one.trouble}" for one in serving if one.trouble
            ]
            if troubles:
                level = Level.CRITICAL if len(troubles) == len(serving) else Level.WARNING
                yield Checked(name=name, level=level, detail="; ".join(troubles))
                continue
            yield Checked(name=name, detail=detail)
            continue
        last = max((one for one in known if queue in one.queues), key=_seen, default=None)
        seen = (
            f" The last one, {last.name}, was seen {_ago(at - last.seen_at)} ago." if last else ""
        )
        yield Checked(
            name=name,
            level=Level.CRITICAL,
            detail=f"none runs.{seen} Start one: 'celery -A worker worker', or where it is a "
            "service: systemctl start 'mammoclip*'",
        )
    for one in known:
        if one.silent:
            yield Checked(
                name=f"worker {one.name}",
                level=Level.WARNING,
                detail=f"has not been heard for {_ago(at - one.seen_at)} and did not say that it "
                "ends: it was killed, its host is down, or it does not reach the ledger",
            )


def _backlog(waiting: Backlog, at: datetime, old_after: timedelta, paused: list[str]) -> Checked:
    parts, is_old = [], False
    for one in (waiting.analyses, waiting.deliveries):
        if not one.count:
            parts.append(f"no {one.things} wait")
            continue
        age = at - one.oldest if one.oldest else timedelta(0)
        is_old |= age > old_after
        parts.append(f"{one.count} {one.things} wait, the oldest for {_ago(age)}")
    detail = "; ".join(parts)
    if is_old and paused:
        detail += f". Paused: {', '.join(paused)}"
    elif is_old:
        detail += ". See 'mammoclip-node studies' and 'mammoclip-node destinations' for the reasons"
    return Checked(name="backlog", level=Level.WARNING if is_old else Level.OK, detail=detail)


def _proof(found: Unproven, at: datetime, old_after: timedelta) -> Checked:
    """Tell whether a destination proves in time what it has accepted."""
    name = f"proof of {found.destination}"
    parts, is_old = [], False
    if found.oldest is not None:
        age = at - found.oldest
        is_old = age > old_after
        parts.append(
            f"{_deliveries(found.waiting)} still to be proven, the oldest accepted {_ago(age)} ago"
        )
    if found.given_up:
        parts.append(
            f"{_deliveries(found.given_up)} of the last {GIVEN_UP_DAYS} days never proven, and "
            "asked about no more"
        )
    if not (is_old or found.given_up):
        return Checked(name=name, detail="; ".join(parts) or "everything accepted is proven")
    # A question that was not asked yet has no reason, such as of a paused destination.
    why = f" ({found.reason})" if found.reason else ""
    return Checked(
        name=name,
        level=Level.WARNING,
        detail=f"{'; '.join(parts)}{why}. 'mammoclip-node studies' lists them as delivered "
        "(accepted); 'mammoclip-node retry' with a study's UID has them asked about again",
    )


def _canary(settings: CanarySettings, last: CanaryFacts | None, at: datetime) -> Iterator[Checked]:
    """Tell how old the last canary study is and how it ended; nothing where there is to be none."""
    if last is None and not settings.minutes:
        return
    parts = ["none was ever sent" if last is None else last.in_words(at).removeprefix("canary: ")]
    is_late, is_broken = is_overdue(last, settings, at), last is not None and bool(last.broken)
    if is_late:
        parts.append(
            f"the node is to send one every {settings.minutes:g} min (canary.minutes) and does "
            "not: see whether it runs, and what its log says of canary"
        )
    if is_broken:
        parts.append("mend what this names")
    if is_late or is_broken:
        parts.append("then try again: mammoclip-node canary")
    level = Level.WARNING if is_late or is_broken else Level.OK
    yield Checked(name="canary", level=level, detail="; ".join(parts))


def _proof_of_removed(name: str, count: int, known: frozenset[str]) -> Checked:
    """Tell that nobody asks a destination for what it is still to prove."""
    return Checked(
        name=f"proof of {name}",
        level=Level.WARNING,
        detail=f"{_deliveries(count)} accepted and not proven, whose files are kept: "
        f"{Holds(destinations=known).withheld(name)}",
    )


def _time_to_prove(settings: Settings, name: str) -> timedelta:
    destination = settings.archive(name)
    return timedelta(seconds=destination.confirm_within_seconds if destination else 0)


def _deliveries(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"


def _seen(worker: WorkerFacts) -> datetime:
    return worker.seen_at


def _processes(worker: WorkerFacts) -> str:
    return "1 process" if worker.processes == 1 else f"{worker.processes} processes"


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
