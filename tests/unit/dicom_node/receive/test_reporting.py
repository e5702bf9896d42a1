"""Reports on storage commitment are taken from the archives that were asked, and from nobody."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from committing_archive import EXPLICIT, STORAGE_COMMITMENT, send_report
from listener_factory import associated
from node_factory import FOR_PRESENTATION
from ports import free_port
from pydicom.dataset import Dataset
from pynetdicom import build_role

from dicom_node.receive.access import Caller
from dicom_node.receive.listener import Listener
from dicom_node.receive.reporters import Reporters, reporters_of
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.reports import MOST_REPORTS, Reports

AS_AN_ARCHIVE = [build_role(STORAGE_COMMITMENT, scp_role=True, scu_role=False)]


def settings_of(spool: Path, *, confirm: str = "commitment", **changes: Any) -> Settings:
    receive = ReceiveSettings(port=free_port(), minimum_free_bytes=1, **changes.pop("receive", {}))
    values = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "confirm": confirm}
    return Settings(
        spool=spool, receive=receive, destinations=(DicomDestination(**values, **changes),)
    )


@pytest.fixture
def listening(spool: Spool) -> Iterator[Callable[..., int]]:
    listeners: list[Listener] = []

    def start(**changes: Any) -> int:
        settings = settings_of(spool.root, **changes)
        listeners.append(Listener(settings.receive, spool, reporters=reporters_of(settings)))
        listeners[-1].start()
        return settings.receive.port

    yield start
    for one in listeners:
        one.stop()


@contextmanager
def calling(port: int, title: str = "ARCHIVE", **options: Any) -> Iterator[Any]:
    context = (STORAGE_COMMITMENT, [EXPLICIT])
    options = {"ext_neg": AS_AN_ARCHIVE, **options}
    with associated(port, context, calling=title, **options) as association:
        yield association


def report() -> Dataset:
    said = Dataset()
    said.TransactionUID = "1.2.3"
    return said


def test_report_is_on_disk_before_it_is_answered(
    listening: Callable[..., int], spool: Spool
) -> None:
    with calling(listening()) as association:
        assert send_report(association, report()) == 0x0000
        ((_, kept),) = Reports(spool.root).waiting()

    assert kept is not None
    assert (kept.destinations, kept.calling_ae_title) == (("archive",), "ARCHIVE")
    assert b"1.2.3" in kept.content


@pytest.mark.parametrize(
    ("title", "changes"),
    [
        ("SCANNER", {}),
        ("ARCHIVE", {"confirm": "query"}),
        ("ARCHIVE", {"commitment_networks": ("10.0.0.0/8",)}),
    ],
)
def test_nobody_else_is_offered_to_report(
    listening: Callable[..., int], title: str, changes: dict[str, Any]
) -> None:
    with calling(listening(**changes), title) as association:
        assert not association.is_established
        assert association.rejected_contexts


def test_archive_that_may_not_send_may_report_and_nothing_else(
    listening: Callable[..., int],
) -> None:
    port = listening(receive={"calling_ae_titles": ("SCANNER",)})

    with associated(
        port, (STORAGE_COMMITMENT, [EXPLICIT]), (FOR_PRESENTATION, [EXPLICIT]), calling="ARCHIVE"
    ) as association:
        accepted = [one.abstract_syntax for one in association.accepted_contexts]

    assert accepted == [STORAGE_COMMITMENT]


def test_archive_that_calls_as_one_that_asks_is_told_its_role(
    listening: Callable[..., int],
) -> None:
    role = [build_role(STORAGE_COMMITMENT, scp_role=True, scu_role=True)]

    with calling(listening(), ext_neg=role) as association:
        (context,) = association.accepted_contexts

    assert (context.as_scu, context.as_scp) == (False, True)


def test_reports_without_end_are_refused(listening: Callable[..., int], spool: Spool) -> None:
    port = listening()
    folder = spool.root / "reports"
    folder.mkdir()
    for number in range(MOST_REPORTS):
        (folder / f"{number}.message").touch()

    with calling(port) as association:
        assert send_report(association, report()) == 0x0213


def test_file_that_is_no_report_is_told_apart(spool: Spool) -> None:
    (spool.root / "reports").mkdir()
    (spool.root / "reports" / "1.message").write_bytes(b"\xff\x00")

    assert [found for _, found in Reports(spool.root).waiting()] == [None]


def test_what_is_no_file_is_no_report_and_holds_nobody_up(spool: Spool) -> None:
    (spool.root / "reports").mkdir()
    (spool.root / "reports" / "1.message").symlink_to("/etc/hostname")
    (spool.root / "reports" / "2.message").mkdir()
    os.mkfifo(spool.root / "reports" / "3.message")

    assert list(Reports(spool.root).waiting()) == []


@pytest.mark.parametrize(
    ("address", "host", "is_known"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("nonsense", "127.0.0.1", False),
    ],
)
def test_archive_is_known_by_its_address(
    tmp_path: Path, address: str, host: str, is_known: bool
) -> None:
    settings = settings_of(tmp_path)
    archive = settings.destinations[0].model_copy(update={"host": host})
    settings = settings.model_copy(update={"destinations": (archive,)})
    reporters = Reporters(reporters_of(settings), settings.receive)
    caller = Caller(calling_ae_title="ARCHIVE", called_ae_title="MAMMOCLIP", address=address)

    assert bool(reporters.destinations(caller)) is is_known


def test_archive_must_be_named_in_its_certificate_where_peers_must(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    receive = settings.receive.model_copy(update={"certificate_names": "subject"})
    reporters = Reporters(reporters_of(settings), receive)

    def knows(name: str) -> bool:
        certificate = {"subject": ((("commonName", name),),)}
        caller = Caller(
            calling_ae_title="ARCHIVE",
            called_ae_title="MAMMOCLIP",
            address="127.0.0.1",
            certificate=certificate,
        )
        return bool(reporters.destinations(caller))

    assert (knows("ARCHIVE"), knows("ANOTHER")) == (True, False)
