"""A node in this process: its threads around a real spool, ledger and listener."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from node_factory import (
    PATIENT_WORDS,
    STUDY_UID,
    analysis_row,
    delivery_row,
    four_views,
    mammogram,
    put,
    study_row,
)
from ports import free_port
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from sending import send
from services import wait_for
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from dicom_node.errors import AddressError, SettingsError
from dicom_node.network import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from dicom_node.node_process import Node, running_node
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.rules import RuleSettings
from dicom_node.settings.services import LedgerSettings
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool, SpoolInUseError
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.site_tables import KnownSpool
from dicom_node.studies.ledger.states import AnalysisState, InstanceState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study

StartNode = Callable[..., tuple[Node, Settings]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a node without a broker that loses no time."""
    return Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        settling={"idle_seconds": 0.5, "grace_seconds": 0.1},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


@pytest.fixture
def start() -> Iterator[Callable[[Settings], Node]]:
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running_node(settings))


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Callable[[type[Any]], list[Any]]]:
    """Return what is in the ledger of the node, whether or not the node has made it yet."""
    database = Database(settings.ledger_url)

    def rows(table: type[Any]) -> list[Any]:
        if not database.has_tables():
            return []
        with database.reading() as session:
            return list(session.scalars(select(table)))

    yield rows
    database.close()


def as_sent(dataset: Any) -> Any:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def test_study_that_is_sent_is_analysed_next(
    settings: Settings, start: Any, ledger: Any, log_lines: list[Any]
) -> None:
    start(settings)

    statuses = send([as_sent(one) for one in four_views()], settings.receive.port)

    assert statuses == [0x0000] * 4
    wait_for(lambda: ledger(Analysis), seconds=30, what="the study settles")
    assert [row.state for row in ledger(Analysis)] == [AnalysisState.DUE]
    assert {row.state for row in ledger(Instance)} == {InstanceState.REGISTERED}
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]


def test_study_goes_by_the_rule_that_takes_it(
    settings: Settings, start: Any, ledger: Any, log_lines: list[Any]
) -> None:
    when = ("images == 4", "PatientSex == 'F'", "called == 'MAMMOCLIP'")
    rules = (RuleSettings(name="women", when=when, priority="stat"),)
    start(settings.model_copy(update={"rules": rules}))

    send([as_sent(one) for one in four_views()], settings.receive.port)

    wait_for(lambda: ledger(Analysis), seconds=30, what="the study settles")
    (analysis,) = ledger(Analysis)
    assert (analysis.rule, analysis.priority) == ("women", 2)
    assert not [word for word in PATIENT_WORDS if word in str(log_lines)]


def test_wrong_rule_is_told_before_the_node_listens(settings: Settings) -> None:
    rules = (RuleSettings(name="women", when=("PatientSexx == 'F'",)),)

    with pytest.raises(SettingsError, match=r"rules\[1\] women: when, column 1: nothing is called"):
        with_running_node(settings.model_copy(update={"rules": rules}))


def test_broker_that_is_down_is_told_once(
    settings: Settings, start: Any, ledger: Any, log_lines: list[Any]
) -> None:
    start(settings)
    send([as_sent(mammogram())], settings.receive.port)

    def told() -> list[Any]:
        return [line for line in log_lines if line["event"] == "broker_down"]

    wait_for(told, seconds=30, what="the broker's absence is told")
    assert len(told()) == 1
    assert ledger(Study)[0].state is StudyState.SETTLED


def test_what_waited_in_the_spool_is_registered_at_the_start(
    settings: Settings, start: Any, ledger: Any
) -> None:
    put(Spool(settings.spool), mammogram())

    start(settings)

    wait_for(lambda: ledger(Instance), seconds=30, what="the object is registered")
    assert ledger(Study)[0].study_instance_uid == STUDY_UID


def test_second_node_on_a_spool_is_refused(settings: Settings, start: Any) -> None:
    start(settings)

    with pytest.raises(SpoolInUseError), running_node(settings):
        pytest.fail("two nodes work on one spool")


def test_address_that_is_not_the_machine_s_is_an_error(settings: Settings) -> None:
    receive = settings.receive.model_copy(update={"host": "192.0.2.1"})
    elsewhere = settings.model_copy(update={"receive": receive})

    with pytest.raises(AddressError, match=r"cannot listen on 192\.0\.2\.1"):
        with_running_node(elsewhere)


def with_running_node(settings: Settings) -> None:
    with running_node(settings):
        pytest.fail("listens nowhere")


def test_spool_is_free_again_after_the_node_has_stopped(settings: Settings) -> None:
    with running_node(settings):
        pass

    with Spool(settings.spool).owned():
        assert (settings.spool / "node.lock").exists()


def test_node_listens_while_the_ledger_is_down(
    settings: Settings, start: Any, tmp_path: Path, log_lines: list[Any]
) -> None:
    (tmp_path / "a file").write_text("no folder")
    ledger = settings.ledger.model_copy(
        update={"url": type(settings.broker.url)(f"sqlite:///{tmp_path}/a file/ledger.sqlite")}
    )
    start(settings.model_copy(update={"ledger": ledger}))

    assert send([as_sent(mammogram())], settings.receive.port) == [0x0000]
    assert len(Spool(settings.spool).incoming()) == 1
    wait_for(
        lambda: [line for line in log_lines if line["event"] == "step_failed"],
        seconds=30,
        what="the ledger's absence is told",
    )


def test_study_waits_for_what_its_association_left_in_the_spool(
    settings: Settings, ledger: Any
) -> None:
    settling = settings.settling.model_copy(update={"grace_seconds": 1e-6})
    spool = Spool(settings.spool)
    with closing(Database(settings.ledger_url)) as database:
        node = Node(settings.model_copy(update={"settling": settling}), spool, database)
        for dataset in four_views():
            put(spool, dataset)
        node._register()
        put(spool, mammogram("CC"))

        node._settle()
        before = ledger(Analysis)
        node._register()
        node._settle()

    assert before == []
    assert [row.state for row in ledger(Analysis)] == [AnalysisState.DUE]


def test_study_that_cannot_be_judged_keeps_no_other_from_being_analysed(
    settings: Settings, ledger: Any, log_lines: list[Any]
) -> None:
    settling = settings.settling.model_copy(update={"grace_seconds": 1e-6})
    spool = Spool(settings.spool)
    with closing(Database(settings.ledger_url)) as database:
        node = Node(settings.model_copy(update={"settling": settling}), spool, database)
        for study in ("1.2.3.1", "1.2.3.2"):
            for dataset in four_views(StudyInstanceUID=study):
                put(spool, dataset)
        node._register()
        good, spoilt = ledger(Study)
        with database.writing() as session:
            rows = session.scalars(select(Instance).where(Instance.study_id == spoilt.id))
            next(rows).acquisition = "later-version"

        node._settle()
        node._settle()

    assert [row.study_id for row in ledger(Analysis)] == [good.id]
    (told,) = [line for line in log_lines if line["event"] == "settling_failed"]
    assert told["detail"] == f"study {spoilt.id} of the ledger"


def test_node_that_starts_says_for_which_removed_destination_deliveries_wait(
    settings: Settings, start: Any, log_lines: list[Any]
) -> None:
    with closing(Database(settings.ledger_url)) as database:
        database.migrate()
        with database.writing() as session:
            done = analysis_row(session, study_row(session), state=AnalysisState.DONE)
            delivery_row(session, done, destination="pacs")

    start(settings)

    def said() -> list[Any]:
        return [line for line in log_lines if line["event"] == "destination_removed"]

    wait_for(said, seconds=10, what="a line of the log")
    (line,) = said()
    assert (line["destination"], line["count"]) == ("pacs", 1)
    assert "enter it there again, or see 'mammoclip-node move-deliveries'" in line["detail"]


def test_scanner_that_asks_is_told_what_the_node_commits_to(settings: Settings, start: Any) -> None:
    told: list[Any] = []

    def take(event: evt.Event) -> tuple[int, None]:
        told.append(event.event_information)
        return 0x0000, None

    scanner, port = AE(ae_title="TESTS"), free_port()
    scanner.add_supported_context(STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, take)]
    server: Any = scanner.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    entry = {"ae_title": "TESTS", "host": "127.0.0.1", "port": port}
    receive = {**settings.receive.model_dump(), "commitment": [entry]}
    settings = Settings(**{**settings.model_dump(), "receive": receive})
    image, request = as_sent(mammogram()), Dataset()
    request.TransactionUID, item = "1.2.3", Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    request.ReferencedSOPSequence = [item]
    try:
        start(settings)
        assert send([image], settings.receive.port) == [0x0000]
        scanner.add_requested_context(STORAGE_COMMITMENT)
        association = scanner.associate("127.0.0.1", settings.receive.port, ae_title="MAMMOCLIP")
        status, _ = association.send_n_action(
            request, 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
        )
        association.release()

        wait_for(lambda: bool(told), seconds=30, what="the scanner is told")
    finally:
        server.shutdown()
    assert status.Status == 0x0000
    assert told[0].TransactionUID == "1.2.3"
    assert told[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert "FailedSOPSequence" not in told[0]


def test_node_removes_what_its_settings_no_longer_keep(
    settings: Settings, start: Any, ledger: Any
) -> None:
    spool = Spool(settings.spool)
    put(spool, mammogram(without=["ImageLaterality"]))
    # A node that meets the object only after its first round looks again half a minute later.
    with closing(Database(settings.ledger_url)) as database:
        Node(settings, spool, database)._register()

    start(settings.model_copy(update={"retention": RetentionSettings(set_aside_days=1e-9)}))

    wait_for(lambda: _is_removed(ledger), seconds=30, what="the object is removed")
    assert list((settings.spool / "set-aside").glob("*.dcm")) == []


def _is_removed(ledger: Any) -> bool:
    rows = ledger(Instance)
    return bool(rows) and rows[0].removed_at is not None and rows[0].place == ""


def test_what_a_worker_has_finished_is_found_before_the_next_tick(
    settings: Settings, ledger: Any
) -> None:
    spool = Spool(settings.spool)
    with closing(Database(settings.ledger_url)) as database:
        node = Node(settings, spool, database)
        node._register()
        node._next_tick = time.monotonic() + 120
        with database.writing() as session:
            delivery_row(session, analysis_row(session, study_row(session)))

        node._wait_for_work()

        assert time.monotonic() < node._next_tick


def test_wait_for_work_goes_on_to_the_next_tick_while_the_ledger_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> bool:
        raise OperationalError("SELECT", None, OSError())

    with closing(Database(settings.ledger_url)) as database:
        node = Node(settings, Spool(settings.spool), database)
        node._register()
        monkeypatch.setattr(node._dispatcher, "has_new_work", silent)
        node._next_tick = time.monotonic() + 0.3

        node._wait_for_work()

        assert time.monotonic() >= node._next_tick


def test_node_with_the_key_of_another_installation_keeps_what_comes_and_registers_nothing(
    settings: Settings, start: Any, ledger: Any, log_lines: list[Any], tmp_path: Path
) -> None:
    start(settings)
    first, second = settings.spool, tmp_path / "second"
    wait_for(lambda: len(ledger(KnownSpool)) == 1, seconds=20, what="the first node is known")
    put(Spool(first), mammogram())
    wait_for(lambda: len(ledger(Instance)) == 1, seconds=20, what="an image is registered")
    other = settings.model_copy(
        update={
            "spool": second,
            "ledger": LedgerSettings(url=settings.ledger_url),
            "receive": settings.receive.model_copy(update={"port": free_port()}),
        }
    )
    start(other)
    put(Spool(second), mammogram())

    wait_for(
        lambda: any(line["event"] == "other_key" for line in log_lines),
        seconds=20,
        what="the second node refuses to work",
    )
    assert (len(ledger(Instance)), len(list((second / "incoming").iterdir()))) == (1, 1)
    (second / "identity.key").write_bytes((first / "identity.key").read_bytes())
    wait_for(
        lambda: [row.spool_id for row in ledger(Instance)] == [1, 2],
        seconds=20,
        what="both nodes register",
    )
    wait_for(
        lambda: all(row.told_at for row in ledger(KnownSpool)),
        seconds=20,
        what="each node tells the other what it receives",
    )
