"""The canary study takes the real way through a node in this process, and names what is broken."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from ports import free_port
from proving_archive import ProvingArchive
from proving_site import stop_beside
from pynetdicom import AE
from pynetdicom.events import EVT_C_STORE, Event
from services import wait_for
from sqlalchemy import select
from unit.dicom_node.node_factory import NOW, analysis_row, study_row
from worker_thread import Worker

from dicom_node.canary.phantom import FOR_PRESENTATION
from dicom_node.canary.receiver import Receiver
from dicom_node.canary.run import CanaryStoppedError, run_canary
from dicom_node.facts.canary import CANARY_STUDY
from dicom_node.node_process import Node, running_node
from dicom_node.receive.registration.registrar import Registrar
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.draining import begin_draining
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.dispatch import Dispatcher
from dicom_node.studies.ledger.canary_runs import CanaryFacts, last_run
from dicom_node.studies.ledger.due.pauses import Paused, pause
from dicom_node.studies.ledger.queries.reading import summaries
from dicom_node.studies.ledger.site_tables import CanaryRun
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState
from dicom_node.studies.ledger.tables import Delivery, Instance, Study, Transition
from worker.runtime import Runtime

PHASES = ["prepare", "receive", "register", "settle", "analyse", "compare", "deliver", "arrive"]


@pytest.fixture
def node(runtime_with: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """Return a worker of a site with one archive, which must hear nothing of a canary study."""
    # What workers are told of is found in the ledger: no broker runs here.
    monkeypatch.setattr(Dispatcher, "_dispatch", lambda *_: None)
    clinical = DicomDestination(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=free_port()
    )
    return runtime_with(
        destinations=(clinical,),
        receive={"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
        settling={"idle_seconds": 0.5, "grace_seconds": 0.1},
        canary={"longest_seconds": 60},
    )


@pytest.fixture
def worker(node: Runtime) -> Iterator[Worker]:
    with running_node(node.settings), Worker(node) as worker:
        yield worker


def sent(node: Runtime, broken: str = "") -> CanaryFacts:
    """Send a canary study; the time of a phase that is to be broken passes at once."""
    looks = 0
    is_broken = False

    def note(phase: str) -> None:
        nonlocal looks, is_broken
        looks, is_broken = 0, phase == broken

    def clock() -> float:
        nonlocal looks
        looks += 1
        # The first look is at the begin of a phase, and the second sets the end of its time.
        return time.monotonic() + (1e6 if is_broken and looks > 2 else 0.0)

    return run_canary(node.settings, node.database, note=note, clock=clock)


def is_let_go(node: Runtime) -> bool:
    """Tell whether a worker has tried to send the results, and has ended that."""
    return all(one.attempts and one.state != DeliveryState.SENDING for one in rows(node, Delivery))


def rows(node: Runtime, table: type[Any]) -> list[Any]:
    with node.database.reading() as session:
        return list(session.scalars(select(table)))


def test_canary_study_takes_the_whole_way_again_and_again_and_leaves_nothing_more(
    node: Runtime, worker: Worker
) -> None:
    counts = []
    for _ in range(2):
        run = sent(node)
        assert (run.broken, run.reason) == ("", "")
        assert list(run.seconds) == PHASES
        counts.append([len(rows(node, one)) for one in (Study, Instance, Delivery, Transition)])

    assert counts[0][:3] == [1, 4, 1]
    assert counts[0] == counts[1]
    assert len({one.scores for one in rows(node, CanaryRun)}) == 1
    assert len(list((node.settings.spool / "studies").rglob("*.dcm"))) == 4
    # Nobody else hears of it, and no list counts it.
    assert [one.destination for one in rows(node, Delivery)] == ["canary"]
    with node.database.reading() as session:
        assert summaries(session, limit=9) == []

    node.engine.score += 2**-53
    run = sent(node)
    assert run.broken == "compare"
    assert "the same images must give the same scores" in run.reason


def test_it_goes_to_the_destinations_that_are_marked(runtime_with: Callable[..., Runtime]) -> None:
    marked = DicomDestination(
        name="test-archive", ae_title="A", host="127.0.0.1", port=free_port(), canary=True
    )
    other = DicomDestination(name="archive", ae_title="A", host="127.0.0.1", port=free_port())
    settings = runtime_with(destinations=(other, marked)).settings

    assert [one.name for one in settings.canary_destinations] == ["test-archive"]
    assert settings.destination_names == {"archive", "test-archive"}


@pytest.fixture
def marked_at(
    runtime_with: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Runtime]]:
    """Return a worker of a site whose canary studies go to a test archive."""
    monkeypatch.setattr(Dispatcher, "_dispatch", lambda *_: None)
    archives: list[ProvingArchive] = []

    def site(**behaviour: Any) -> Runtime:
        archives.append(ProvingArchive(**behaviour).start())
        where = {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archives[-1].port}
        return runtime_with(
            destinations=(DicomDestination(name="test-archive", canary=True, **where),),
            receive={"port": free_port(), "minimum_free_bytes": 1, "processes": 1},
            settling={"idle_seconds": 0.5, "grace_seconds": 0.1},
            canary={"port": free_port(), "longest_seconds": 60},
        )

    yield site
    stop_beside(archives)


@pytest.mark.parametrize(
    ("behaviour", "broken", "reason"),
    [
        pytest.param({}, "", "", marks=pytest.mark.long),
        ({"keeps": False}, "arrive", "test-archive: 9 of 9 results were not found by C-FIND"),
        pytest.param(
            {"finds": False},
            "arrive",
            "test-archive: test-archive does not offer C-FIND",
            marks=pytest.mark.long,
        ),
    ],
)
def test_marked_archive_is_asked_for_what_it_has_accepted(
    marked_at: Callable[..., Runtime], behaviour: dict[str, Any], broken: str, reason: str
) -> None:
    node = marked_at(**behaviour)
    with running_node(node.settings), Worker(node):
        run = sent(node, broken)

    assert (run.broken, run.reason) == (broken, reason)
    assert list(run.seconds) == [one for one in PHASES if one != broken]


def test_former_canary_study_in_the_hands_of_a_worker_is_named(node: Runtime) -> None:
    node.database.migrate()
    with node.database.writing() as session:
        study = study_row(session, CANARY_STUDY)
        analysis_row(session, study, state=AnalysisState.RUNNING)

    run = run_canary(node.settings, node.database)

    assert run.broken == "prepare"
    assert "still in the hands of a worker" in run.reason


@pytest.mark.long
def test_first_scores_count_after_others_were_seen(node: Runtime, worker: Worker) -> None:
    for score, broken in ((0.9, ""), (0.8, "compare"), (0.9, "")):
        node.engine.score = score
        assert sent(node).broken == broken
        # One that is broken has ended before its results are sent.
        wait_for(lambda: is_let_go(node), seconds=60, what="no worker has it in hand")


def test_node_that_does_not_run_is_named(node: Runtime) -> None:
    node.database.migrate()

    run = run_canary(node.settings, node.database)

    assert run.broken == "receive"
    assert "does not answer" in run.reason


def test_node_that_ends_the_association_amid_the_images_is_named(
    node: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library waits for the answer to an object until the time for one is over.
    soon = partial(DicomDestination, timeout_seconds=1)
    monkeypatch.setattr("dicom_node.canary.run.DicomDestination", soon)
    node.database.migrate()
    peer = AE(ae_title=node.settings.receive.ae_title)
    peer.add_supported_context(FOR_PRESENTATION)

    def abort(event: Event) -> int:
        event.assoc.abort()
        return 0x0000

    where = ("127.0.0.1", node.settings.receive.port)
    listening = peer.start_server(where, block=False, evt_handlers=[(EVT_C_STORE, abort)])
    try:
        run = run_canary(node.settings, node.database)
    finally:
        listening.shutdown()

    assert run.broken == "receive"
    assert "no answer" in run.reason


AT_LENGTH = pytest.mark.long


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param("register", marks=AT_LENGTH),
        pytest.param("settle", marks=AT_LENGTH),
        "analyse",
        pytest.param("deliver", marks=AT_LENGTH),
    ],
)
def test_phase_that_does_not_end_is_named(
    node: Runtime, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    if phase == "register":
        monkeypatch.setattr(Registrar, "register_all", lambda _: None)
    if phase == "settle":
        monkeypatch.setattr(Node, "_settle", lambda _: None)
    with running_node(node.settings), Worker(node) as worker:
        worker.analyses = phase != "analyse"
        worker.deliveries = phase != "deliver"
        wait_for(node.database.has_tables, seconds=30, what="the node has made its ledger")

        run = sent(node, phase)

    assert run.broken == phase
    assert run.reason.startswith("it did not end within 60 s")


@pytest.mark.long
def test_analysis_that_fails_is_named_with_its_reason(node: Runtime, worker: Worker) -> None:
    node.engine.failing = frozenset({f"{CANARY_STUDY}.1.2"})

    run = sent(node)

    assert (run.broken, run.reason) == (
        "compare",
        "1 of 4 images were not analysed: no pixels",
    )


@pytest.mark.long
def test_results_that_do_not_arrive_are_named(
    node: Runtime, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Receiver, "_store", lambda *_: 0x0000)  # takes all, and keeps nothing

    run = sent(node)

    assert run.broken == "arrive"
    assert "results did not arrive" in run.reason


@pytest.mark.parametrize(("kind", "phase"), [(Paused.RESULTS, "deliver"), (Paused.NODE, "analyse")])
def test_what_somebody_has_paused_holds_it_and_is_no_fault(
    node: Runtime, worker: Worker, kind: Paused, phase: str
) -> None:
    with node.database.writing() as session:
        pause(session, kind, "", reason="flags rose", paused_by="the stop rule", at=NOW)

    run = sent(node)

    assert (run.broken, run.is_held) == ("", True)
    assert run.reason.startswith(f"{phase}: {kind.value} is paused by the stop rule")
    with node.database.reading() as session:
        assert last_run(session) == run
    assert "it was held, which is no fault" in run.in_words(run.began_at)


def test_drained_node_holds_it_too(node: Runtime) -> None:
    node.database.migrate()
    Spool(node.settings.spool)
    begin_draining(node.settings.spool, by="anna", reason="the machine is moved")

    run = run_canary(node.settings, node.database)

    assert (run.broken, run.is_held) == ("", True)
    assert run.reason.startswith("receive: ")
    assert "the machine is moved" in run.reason


def test_port_of_the_settings_that_is_taken_is_named(node: Runtime) -> None:
    node.database.migrate()
    Spool(node.settings.spool)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        canary = node.settings.canary.model_copy(update={"port": port})
        settings = node.settings.model_copy(update={"canary": canary})
        run = run_canary(settings, node.database)

    assert run.broken == "prepare"
    assert f"127.0.0.1:{port} under [canary] cannot be listened on" in run.reason


@pytest.mark.long
def test_node_sends_canary_studies_by_itself_and_stops_in_the_middle_of_one(
    node: Runtime, log_lines: list[Any]
) -> None:
    settings = node.settings.model_copy(
        update={"canary": node.settings.canary.model_copy(update={"minutes": 60.0})}
    )
    with running_node(settings), Worker(node):
        wait_for(
            lambda: [one for one in log_lines if one["event"] == "canary_arrived"],
            seconds=60,
            what="the canary study has arrived",
        )
    assert len(rows(node, CanaryRun)) == 1

    stopping = threading.Event()
    stopping.set()
    with running_node(node.settings), pytest.raises(CanaryStoppedError):
        run_canary(node.settings, node.database, stopping=stopping)
    assert len(rows(node, CanaryRun)) == 1
