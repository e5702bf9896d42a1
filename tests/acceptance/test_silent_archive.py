"""An archive that stops in mid-answer holds up neither other archives, nor analyses, nor an end."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running, wait_for
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from unit.dicom_node.send.hostile import after_association, sends, serving

from dicom_node.settings.reading import load_settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.tables import Analysis, Delivery, Study

ENDS_WITHIN = 20
"""Seconds: service managers and Docker wait for 10 to 90 before they kill."""

HOSTILE = """
[[destinations]]
name = "a-silent-one"
ae_title = "SILENT"
host = "127.0.0.1"
port = {port}
timeout_seconds = 600
exchange_seconds = 600
"""


@contextmanager
def a_site_with_a_silent_archive(folder: Path, bundle: Path) -> Iterator[Site]:
    """Run a site whose first destination accepts an object and never answers."""
    site = Site(folder, bundle)
    with serving(after_association(sends(b"\x04\x00\x00"))) as port:
        text = site.config.read_text()
        # Before the healthy one, so that it is served first.
        before, after = text.split("[[destinations]]")
        site.config.write_text(before + HOSTILE.format(port=port) + "[[destinations]]" + after)
        with running(site, "archive", "broker", "node", "worker"):
            yield site


def sent(site: Site, number: int) -> str:
    """Send a study of its own and return its UID."""
    datasets: list[Dataset] = datasets_of(FILM)
    for dataset in datasets:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:56]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    assert all_stored(send(datasets, site.node_port, calling="FILM"))
    return str(datasets[0].StudyInstanceUID)


@contextmanager
def ledger_of(site: Site) -> Iterator[Session]:
    with (
        closing(Database(load_settings(site.config).ledger_url)) as database,
        database.reading() as session,
    ):
        yield session


def deliveries_of(site: Site, study: str) -> dict[str, str]:
    """Return the state of each delivery by its destination."""
    with ledger_of(site) as session:
        rows = session.scalars(
            select(Delivery).join(Analysis).join(Study).where(Study.study_instance_uid == study)
        )
        return {row.destination: row.state.value for row in rows}


@pytest.mark.parametrize("to_the_group", [False, pytest.param(True, marks=pytest.mark.long)])
def test_plain_worker_serves_the_healthy_archive_and_ends_when_it_is_told(
    tmp_path: Path, bundle: Path, to_the_group: bool
) -> None:
    with a_site_with_a_silent_archive(tmp_path, bundle) as site:
        studies = [sent(site, 1)]
        wait_for(
            lambda: (
                deliveries_of(site, studies[0])
                == {"a-silent-one": "sending", "archive": "accepted"}
            ),
            seconds=120,
            what="one archive is silent and the other one has its results",
        )
        studies.append(sent(site, 2))
        wait_for(
            lambda: deliveries_of(site, studies[1]).get("archive") == "accepted",
            seconds=120,
            what="the next study is analysed and delivered",
        )

        worker = site.worker.process
        assert worker is not None
        if to_the_group:
            os.killpg(worker.pid, signal.SIGTERM)
        else:
            worker.terminate()
        assert worker.wait(ENDS_WITHIN) == 0

        assert deliveries_of(site, studies[0])["a-silent-one"] == "due"
        assert attempts_at_the_silent_one(site) == 0
        assert site.worker.output().count("results_delivered") == 2


def attempts_at_the_silent_one(site: Site) -> int:
    """Return how many attempts count: those that we broke off do not."""
    with ledger_of(site) as session:
        query = select(func.max(Delivery.attempts)).where(Delivery.destination == "a-silent-one")
        return session.scalar(query) or 0
