"""A study is analysed by its own quiet time, whatever else the node is receiving meanwhile."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from node_factory import STUDY_UID, Reception, encoded, four_views, mammogram, put
from ports import free_port
from pydicom.dataset import Dataset
from raw_peer import RawPeer, p_data, pdv, store_command, store_request
from services import wait_for
from sqlalchemy import select, update

from dicom_node.node_process import Node, running_node
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import StudyState
from dicom_node.studies.ledger.tables import Study

CONTROL, OTHER = "1.2.7", "1.2.8"

IsSettled = Callable[[str], bool]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        spool=tmp_path / "spool",
        receive={"port": free_port(), "minimum_free_bytes": 1},
        settling={"idle_seconds": 1.0, "grace_seconds": 0.2},
        broker={"url": f"redis://127.0.0.1:{free_port()}/0"},
    )


@pytest.fixture
def is_settled(settings: Settings) -> Iterator[IsSettled]:
    """Run a node with two receiving processes; return whether it has settled a study."""
    with running_node(settings), closing(Database(settings.ledger_url)) as database:

        def ask(uid: str) -> bool:
            if not database.has_tables():
                return False
            with database.reading() as session:
                states = session.scalars(select(Study.state).where(Study.study_instance_uid == uid))
                return list(states) == [StudyState.SETTLED]

        yield ask


def request_of(dataset: Dataset) -> bytes:
    return store_request(encoded(dataset), str(dataset.SOPInstanceUID).encode())


def beginning_and_end(dataset: Dataset) -> tuple[bytes, bytes]:
    """Encode a C-STORE request whose data set comes in two parts, the first with the UIDs."""
    content = encoded(dataset)
    middle = content.index(b"\x20\x00\x0d\x00UI") + 100
    command = p_data(pdv(store_command(str(dataset.SOPInstanceUID).encode()), is_command=True))
    parts = p_data(pdv(content[:middle], is_last=False)), p_data(pdv(content[middle:]))
    return command + parts[0], parts[1]


def send_whole(port: int, *datasets: Dataset) -> None:
    with RawPeer(port).associate() as peer:
        for dataset in datasets:
            peer.write(request_of(dataset))
            assert peer.status() == 0x0000


@contextmanager
def associated(port: int, *datasets: Dataset) -> Iterator[RawPeer]:
    """Hold an association open that has sent something."""
    with RawPeer(port).associate() as peer:
        for dataset in datasets:
            peer.write(request_of(dataset))
            assert peer.status() == 0x0000
        yield peer


def test_study_settles_while_its_association_is_busy_with_others(
    settings: Settings, is_settled: IsSettled
) -> None:
    number = itertools.count()
    with associated(settings.receive.port, mammogram()) as busy:

        def goes_on_with_others_until_it_settles() -> bool:
            busy.write(request_of(mammogram(StudyInstanceUID=f"{OTHER}.{next(number)}")))
            assert busy.status() == 0x0000
            return is_settled(STUDY_UID)

        wait_for(goes_on_with_others_until_it_settles, seconds=30, what="the first study settles")


def test_study_does_not_wait_for_a_slow_object_of_another(
    settings: Settings, is_settled: IsSettled
) -> None:
    beginning, _ = beginning_and_end(mammogram(StudyInstanceUID=OTHER))
    with associated(settings.receive.port, mammogram()) as slow:
        slow.write(beginning)

        wait_for(lambda: is_settled(STUDY_UID), seconds=25, what="the first study settles")


@pytest.mark.parametrize("over_its_association", [True, False])
def test_study_waits_for_its_object_that_is_still_coming(
    settings: Settings, is_settled: IsSettled, over_its_association: bool
) -> None:
    port = settings.receive.port
    beginning, end = beginning_and_end(mammogram("CC"))
    already = [mammogram()] if over_its_association else []
    if not over_its_association:
        send_whole(port, mammogram())
    with associated(port, *already) as slow:
        slow.write(beginning)
        # What began later, and would settle later, is settled by then.
        send_whole(port, mammogram(StudyInstanceUID=CONTROL))
        wait_for(lambda: is_settled(CONTROL), seconds=30, what="a later study settles")
        assert not is_settled(STUDY_UID)

        slow.write(end)
        assert slow.status() == 0x0000

    wait_for(lambda: is_settled(STUDY_UID), seconds=30, what="the study settles")


def test_study_waits_for_an_association_that_is_silent_after_it(
    settings: Settings, is_settled: IsSettled
) -> None:
    port = settings.receive.port
    with associated(port, *four_views()) as silent:
        send_whole(port, mammogram(StudyInstanceUID=CONTROL))
        wait_for(lambda: is_settled(CONTROL), seconds=30, what="a later study settles")
        assert not is_settled(STUDY_UID)

        silent.line.close()

    wait_for(lambda: is_settled(STUDY_UID), seconds=30, what="the study settles")


@pytest.fixture
def node(settings: Settings) -> Iterator[Node]:
    """Return a node whose steps the test takes itself, and that waits for nothing."""
    at_once = settings.settling.model_copy(update={"idle_seconds": 1e-6, "grace_seconds": 1e-6})
    impatient = settings.model_copy(update={"settling": at_once})
    with closing(Database(settings.ledger_url)) as database:
        yield Node(impatient, Spool(settings.spool), database)


def states(settings: Settings) -> dict[str, StudyState]:
    with closing(Database(settings.ledger_url)) as database, database.reading() as session:
        return {row.study_instance_uid: row.state for row in session.scalars(select(Study))}


def test_what_waits_to_be_registered_holds_its_own_study_only(
    settings: Settings, node: Node
) -> None:
    spool = Spool(settings.spool)
    put(spool, mammogram(StudyInstanceUID=OTHER), association="a" * 16)
    put(spool, mammogram(), association="b" * 16)
    node._register()
    # Another association brings the rest of the study; the association of the other goes on.
    put(spool, mammogram("CC"), association="c" * 16)
    put(spool, mammogram(StudyInstanceUID=CONTROL), association="a" * 16)

    node._settle()

    assert states(settings) == {OTHER: StudyState.SETTLED, STUDY_UID: StudyState.OPEN}


def test_quiet_time_begins_when_an_object_is_whole(
    settings: Settings, is_settled: IsSettled
) -> None:
    port = settings.receive.port
    beginning, end = beginning_and_end(mammogram())
    with associated(port) as slow:
        slow.write(beginning)
        # Longer than the quiet time: a later study comes and settles.
        send_whole(port, mammogram(StudyInstanceUID=CONTROL))
        wait_for(lambda: is_settled(CONTROL), seconds=30, what="a later study settles")
        slow.write(end)
        assert slow.status() == 0x0000

    (received_at,) = received(settings, STUDY_UID)
    (control_received_at,) = received(settings, CONTROL)
    assert received_at - control_received_at >= settings.settling.idle_seconds


def received(settings: Settings, uid: str) -> list[float]:
    """Return when the images of a study were received, once it is registered."""
    with closing(Database(settings.ledger_url)) as database:

        def times() -> list[float]:
            with database.reading() as session:
                query = select(Study.last_received_at).where(Study.study_instance_uid == uid)
                return [at.timestamp() for at in session.scalars(query)]

        wait_for(times, seconds=30, what="the study is registered")
        return times()


def test_study_that_came_while_the_clock_was_an_hour_ahead_settles_now(settings: Settings) -> None:
    with closing(Database(settings.ledger_url)) as database:
        database.migrate()
        Reception(Spool(settings.spool), database).receive(mammogram())
        with database.writing() as session:
            ahead = datetime.now(UTC) + timedelta(hours=1)
            session.execute(update(Study).values(last_received_at=ahead))

    with running_node(settings):
        settled = {STUDY_UID: StudyState.SETTLED}
        wait_for(lambda: states(settings) == settled, seconds=60, what="the study settles")
