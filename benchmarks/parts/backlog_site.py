"""A whole site with a backlog for an archive that is away: what a new study waits for."""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import insert, text

from deploy.archive import HOST, archive_command
from deploy.broker import broker_command
from deploy.demo.children import Children, answers, free_ports
from deploy.demo.exchange import CALLING_AE_TITLE, send_study
from deploy.demo.mammograms import find_studies
from deploy.settings_file import Site, settings_text
from dicom_node.destination_profiles import products_wanted_by
from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import ResultObject
from parts.processes import family, own_bytes, processor_seconds
from parts.sample_studies import copy_study

AWAY = "away"
PATIENCE_SECONDS = 300.0

_DESTINATION = """
[[destinations]]
name = "{name}"
kind = "dicom"
ae_title = "AWAY"
host = "127.0.0.1"
port = {port}
profile = "one"

[profiles.one]
objects = ["measurement_report"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What one study waited for, in seconds."""

    analysis: float
    delivery: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLoad:
    """What the node took beside the backlog.

    Attributes
    ----------
    cores : with its children
    memory_bytes, whole_bytes : of its process, and of it with its children
    """

    cores: float
    memory_bytes: int
    whole_bytes: int


@contextmanager
def silent_archive() -> Iterator[int]:
    """Take connections on a port, and never answer; yields the port."""
    with socket.create_server((HOST, 0), backlog=128) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        for one in held:
            one.close()


def measured(
    folder: Path, away_port: int, *, studies: int, fill: partial[None]
) -> tuple[NodeLoad, list[Waits]]:
    """Run a site beside its backlog, send studies one after the other, and measure both."""
    node_port, archive_port, http_port, broker_port = free_ports(4)
    site = Site(
        spool=folder / "spool",
        listen_on=HOST,
        port=node_port,
        broker_url=f"redis://{HOST}:{broker_port}/0",
        archive_port=archive_port,
        idle_seconds=5,
        grace_seconds=1,
        minimum_free_bytes=1,
        secondary_capture_senders=(CALLING_AE_TITLE,),
    )
    config = folder / "mammoclip.toml"
    away = _DESTINATION.format(name=AWAY, port=away_port)
    config.write_text(settings_text(site) + away, encoding="utf-8")
    database = _filled(folder, config, fill)
    environment = {**os.environ, "MAMMOCLIP_CONFIG": str(config), "OMP_NUM_THREADS": "1"}
    for number in range(studies):
        copy_study(folder / "studies" / f"{number:03d}", number)
    to_send, _ = find_studies([folder / "studies"])
    with Children(folder) as children:
        children.start("broker", broker_command(folder / "broker", broker_port), environment)
        archive = archive_command(
            folder / "archive",
            dicom_port=archive_port,
            http_port=http_port,
            node_port=node_port,
            peers=(CALLING_AE_TITLE,),
        )
        children.start("archive", archive, environment, may_be_killed=True)
        children.wait_until(
            partial(answers, broker_port), what="the broker answers", deadline_seconds=60
        )
        node = [sys.executable, "-m", "dicom_node.commands.node", "serve"]
        children.start("node", node, environment)
        celery = [sys.executable, "-m", "celery", "-A", "worker", "worker"]
        children.start("worker", [*celery, "-Q", "gpu", "-n", "gpu@%h"], environment)
        deliver = [*celery, "-Q", "deliver", "-n", "deliver@%h", "--concurrency", "2"]
        children.start("delivery", deliver, environment)
        for name, port in (("archive", archive_port), ("node", node_port)):
            what = f"the {name} answers"
            children.wait_until(partial(answers, port), what=what, deadline_seconds=180)
        # The first study loads the model: it is no measure.
        first, *further = to_send
        _waits_of(database, first, node_port)
        load = _load_of(children.pid("node"), seconds=30)
        waits = [_waits_of(database, one, node_port) for one in further]
    database.close()
    return load, waits


def _filled(folder: Path, config: Path, fill: partial[None]) -> Database:
    settings = load_settings(config)
    (folder / "spool").mkdir(mode=0o700)
    database = Database(settings.ledger_url)
    database.migrate()
    fill(database)
    ((kind, variant),) = products_wanted_by(AWAY, settings)
    place = "results/backlog.dcm"
    (folder / "spool" / "results").mkdir(mode=0o700)
    (folder / "spool" / place).write_bytes(bytes(132))
    with database.writing() as session:
        made = [
            {"analysis_id": n, "kind": kind, "variant": variant, "place": place}
            | {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.34"}
            | {"sop_instance_uid": f"1.2.3.{n}", "series_instance_uid": "1.2.3"}
            for n in session.scalars(text("SELECT id FROM analyses"))
        ]
        session.execute(insert(ResultObject), made)
    return database


def _waits_of(database: Database, study: object, port: int) -> Waits:
    for instance, problem in send_study(study, port):  # type: ignore[arg-type]
        if problem:
            raise SystemExit(f"{instance.path.name} {problem}")
    uid = study.study_instance_uid  # type: ignore[attr-defined]
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    query = text(
        "SELECT (julianday(t.at) - julianday(a.created_at)) * 86400, "
        "(julianday(d.finished_at) - julianday(a.finished_at)) * 86400 "
        "FROM studies s JOIN analyses a ON a.study_id = s.id "
        "JOIN transitions t ON t.subject = 'analysis' AND t.subject_id = a.id "
        "AND t.event = 'claim' "
        "JOIN deliveries d ON d.analysis_id = a.id AND d.destination = 'archive' "
        "WHERE s.study_instance_uid = :uid AND d.state = 'accepted'"
    )
    while time.monotonic() < give_up_at:
        with database.reading() as session:
            found = session.execute(query, {"uid": uid}).first()
        if found is not None:
            return Waits(analysis=found[0], delivery=found[1])
        time.sleep(0.5)
    raise SystemExit("a study was not delivered in time")


def _load_of(pid: int, *, seconds: float) -> NodeLoad:
    began, before = time.monotonic(), processor_seconds(pid)
    time.sleep(seconds)
    cores = (processor_seconds(pid) - before) / (time.monotonic() - began)
    return NodeLoad(
        cores=cores,
        memory_bytes=own_bytes(pid),
        whole_bytes=sum(own_bytes(one) for one in family(pid)),
    )
