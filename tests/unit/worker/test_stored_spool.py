"""Workers that see no node's folder: they get files from the store, and give results to it."""

import os
from pathlib import Path
from typing import Any

import pytest
from proving_archive import ProvingArchive
from s3_server import S3Server, s3
from sqlalchemy import update
from unit.dicom_node.node_factory import HEADERS, NOW, Reception, put
from worker_factory import (
    StandInEngine,
    due_analysis,
    run_analysis,
    shown_mammogram,
    stand_in_manifest,
)

from dicom_node.commands.checks.check import run_checks
from dicom_node.commands.checks.checked import Checked, Level
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.object_store import ObjectStore, StoreDownError
from dicom_node.spool.stored_spool import FetchedFiles
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.storing import Stored
from dicom_node.studies.ledger.tables import Analysis, Delivery, Instance, ResultObject, Study
from dicom_node.studies.retention import Retention
from dicom_node.studies.uploads import Uploads
from worker.deliver.delivery import deliver_results
from worker.runtime import Runtime

__all__ = ["s3"]


class Hosts:
    """A node with a store, and workers on hosts that see nothing but ledger and store."""

    def __init__(self, node: Runtime, reception: Reception, s3: S3Server, folder: Path) -> None:
        self.database, self.reception, self.s3, self.folder = node.database, reception, s3, folder
        self.decoding = node.decoding
        self.archive = DicomDestination(
            name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=9
        )
        self.uploads = Uploads(reception.spool, node.database, s3.settings)

    def receive(self, **attributes: Any) -> Instance:
        """Register an image as a node with a store does."""
        row = self.reception.receive(shown_mammogram(**attributes))
        with self.database.writing() as session:
            session.execute(update(Instance).values(stored=int(Stored.WANTED)))
        assert row is not None
        return row

    def worker(self, name: str, **settings: Any) -> Runtime:
        url = self.database.engine.url.render_as_string(hide_password=False)
        values = {
            "spool": self.folder / name,
            "ledger": {"url": url},
            "store": self.s3.settings,
            "destinations": (self.archive,),
            **settings,
        }
        worker = Runtime(Settings(**values))
        worker.engine = StandInEngine()  # type: ignore[assignment]
        worker.manifest = stand_in_manifest()
        worker.decoding = self.decoding
        return worker

    def due_again(self) -> None:
        with self.database.writing() as session:
            session.execute(update(Analysis).values(due_at=NOW))
            session.execute(update(Delivery).values(due_at=NOW))


@pytest.fixture
def hosts(node: Runtime, reception: Reception, s3: S3Server, tmp_path: Path) -> Hosts:
    return Hosts(node, reception, s3, tmp_path)


def test_study_is_analysed_and_delivered_without_any_folder_of_its_node(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    hosts.receive(ViewPosition="CC")
    hosts.uploads.step()
    archive = ProvingArchive().start()
    hosts.archive = hosts.archive.model_copy(update={"port": archive.port})
    try:
        done = run_analysis(hosts.worker("gpu"), due_analysis(reception))
        assert (done.state, done.reason) == (AnalysisState.DONE, "")
        results = reception.rows(ResultObject)
        assert {row.stored for row in results} == {Stored.ONLY}
        assert reception.files("results") == []
        # The worker on the node's own host, too, gets what another has made.
        for worker in (hosts.worker("sender"), hosts.worker("seen", spool=reception.spool.root)):
            with hosts.database.writing() as session:
                session.execute(update(Delivery).values(state=DeliveryState.DUE, due_at=NOW))
            with worker.leased(Delivery, 1) as taken:
                assert taken is not None
                deliver_results(worker, *taken)
            (delivery,) = reception.rows(Delivery)
            assert (delivery.state, delivery.reason) == (DeliveryState.ACCEPTED, "")
    finally:
        archive.stop()
    assert set(archive.stored) == {row.sop_instance_uid for row in results}


def test_study_waits_until_its_images_are_in_the_store(hosts: Hosts, reception: Reception) -> None:
    hosts.receive()
    hosts.uploads.step()
    hosts.receive(ViewPosition="CC")
    with hosts.database.writing() as session:
        session.execute(update(Instance).where(Instance.id == 1).values(stored=int(Stored.COPY)))
    analysis_id = due_analysis(reception)

    waiting = run_analysis(hosts.worker("gpu"), analysis_id)
    assert (waiting.state, waiting.attempts) == (AnalysisState.DUE, 0)
    assert waiting.reason.endswith("are copied to the store")
    hosts.uploads.step()
    hosts.due_again()
    assert run_analysis(hosts.worker("gpu"), analysis_id).state is AnalysisState.DONE


def test_while_the_store_is_away_everything_waits_and_nothing_fails(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    hosts.uploads.step()
    second = hosts.receive(ViewPosition="CC")
    with hosts.database.writing() as session:
        session.execute(update(Instance).where(Instance.id == 1).values(stored=int(Stored.COPY)))
    analysis_id = due_analysis(reception)
    worker = hosts.worker("gpu")
    hosts.s3.kill()

    with pytest.raises(StoreDownError, match=r"does not answer or refuses .* under \[store\]"):
        hosts.uploads.step()
    assert {row.id: row.stored for row in reception.instances()}[second.id] == Stored.WANTED
    with hosts.database.writing() as session:
        session.execute(update(Instance).values(stored=int(Stored.COPY)))
    row = run_analysis(worker, analysis_id)
    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)
    assert "does not answer or refuses" in row.reason

    hosts.s3.start()
    with hosts.database.writing() as session:
        session.execute(
            update(Instance).where(Instance.id == second.id).values(stored=int(Stored.WANTED))
        )
    hosts.uploads.step()
    hosts.due_again()
    assert run_analysis(worker, analysis_id).state is AnalysisState.DONE


def test_store_that_goes_away_before_the_results_are_kept_costs_no_attempt(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    hosts.uploads.step()
    analysis_id = due_analysis(reception)
    worker = hosts.worker("gpu")
    worker.engine.meanwhile = hosts.s3.kill  # type: ignore[attr-defined]

    row = run_analysis(worker, analysis_id)

    assert (row.state, row.attempts) == (AnalysisState.DUE, 0)
    assert reception.rows(ResultObject) == []


def test_damaged_copy_is_fetched_again_and_a_damaged_original_is_not_analysed(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    hosts.uploads.step()
    worker = hosts.worker("gpu")
    assert run_analysis(worker, due_analysis(reception)).state is AnalysisState.DONE
    (copy,) = (hosts.folder / "gpu/fetched").iterdir()
    copy.write_bytes(copy.read_bytes()[:-2] + b"\x01\x02")

    with hosts.database.writing() as session:
        session.execute(update(Study).values(revision=1))
    assert run_analysis(worker, due_analysis(reception)).state is AnalysisState.DONE
    (original,) = [file for file in hosts.s3.objects() if "instances" in file.parts]
    original.write_bytes(original.read_bytes()[:-2] + b"\x01\x02")
    copy.unlink()
    row = run_analysis(worker, due_analysis(reception))
    assert row.state is AnalysisState.FAILED
    assert "was changed since it was received" in row.reason


def test_what_the_retention_removes_is_removed_from_the_store(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    hosts.uploads.step()
    run_analysis(hosts.worker("gpu"), due_analysis(reception))
    assert len(hosts.s3.objects()) > 1
    with hosts.database.writing() as session:
        session.execute(update(Instance).values(removed_at=NOW))
        session.execute(update(ResultObject).values(removed_at=NOW))

    Retention(
        reception.spool, hosts.database, RetentionSettings(), clock=lambda: NOW
    ).delete_marked()
    hosts.s3.kill()
    with pytest.raises(StoreDownError):
        hosts.uploads.step()
    hosts.s3.start()
    hosts.uploads.step()

    assert hosts.s3.objects() == []
    assert {row.stored for row in reception.instances()} == {Stored.NOT}
    assert hosts.uploads.step() == 0


def test_results_of_the_nodes_own_host_are_copied_for_other_hosts(
    hosts: Hosts, reception: Reception
) -> None:
    hosts.receive()
    own = hosts.worker("own", spool=reception.spool.root)
    assert run_analysis(own, due_analysis(reception)).state is AnalysisState.DONE
    with hosts.worker("sender").leased(Delivery, 1) as taken:
        assert taken is None

    hosts.uploads.step()
    hosts.due_again()
    with hosts.worker("sender").leased(Delivery, 1) as taken:
        assert taken is not None
    assert {row.stored for row in reception.rows(ResultObject)} == {Stored.COPY}


def test_fetched_files_are_bounded_and_the_oldest_go_first(s3: S3Server, tmp_path: Path) -> None:
    store = ObjectStore(s3.settings, "somewhere")
    for number in range(4):
        store.put(f"{number}.dcm", bytes(1000))
    fetched = FetchedFiles(tmp_path / "fetched", most_bytes=2500)
    files = []
    for number in range(4):
        files.append(fetched.fetch(store, "somewhere", f"{number}.dcm"))
        os.utime(files[-1], (number, number))  # as if it was last used long ago

    assert [file.is_file() for file in files] == [False, True, True, True]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files[1:])
    fetched.fetch(store, "somewhere", "0.dcm")
    assert [file.is_file() for file in files] == [True, False, True, True]


def test_node_with_a_store_has_what_it_registers_copied(hosts: Hosts, reception: Reception) -> None:
    put(reception.spool, shown_mammogram())
    Registrar(
        reception.spool,
        hosts.database,
        ReceiveSettings(),
        clock=lambda: NOW,
        headers=HEADERS,
        stored=Stored.WANTED,
    ).register_all()

    (row,) = reception.instances()
    assert row.stored == Stored.WANTED
    assert hosts.uploads.step() == 1
    assert [file.name for file in hosts.s3.objects()] == [f"{row.id}.dcm"]


def test_check_says_whether_the_store_answers(s3: S3Server, tmp_path: Path) -> None:
    settings = Settings(spool=tmp_path / "spool", store=s3.settings)
    assert _check_of_the_store(settings).level is Level.OK

    s3.kill()

    assert "does not answer or refuses" in _check_of_the_store(settings).detail


def _check_of_the_store(settings: Settings) -> Checked:
    (found,) = (one for one in run_checks(settings) if one.name == "store")
    return found


def test_key_that_is_refused_is_told_as_a_fault_of_the_store(s3: S3Server) -> None:
    settings = s3.settings.model_copy(update={"access_key_id": "SOMEBODYELSE"})

    with pytest.raises(StoreDownError, match=r"the settings under \[store\]"):
        ObjectStore(settings, "x").put("a", b"")
