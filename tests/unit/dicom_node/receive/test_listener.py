"""The listener over real associations on loopback."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pydicom
import pytest
from node_factory import (
    COMPREHENSIVE_SR,
    FOR_PRESENTATION,
    PATIENT_WORDS,
    SECONDARY_CAPTURE,
    TOMOSYNTHESIS,
    encoded,
    mammogram,
)
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import Verification
from services import free_port, wait_for

from dicom_node import errors
from dicom_node.errors import (
    NotAuthorisedError,
    OutOfResourcesError,
    RefusedError,
    SopClassNotSupportedError,
)
from dicom_node.receive.headers import content_offset
from dicom_node.receive.listener import STATUS_OF, Listener
from dicom_node.receive.storage_classes import ACCEPTED_CLASSES
from dicom_node.settings import ReceiveSettings
from dicom_node.spool import Receipt, Spool

Listening = Callable[..., tuple[Listener, int]]


@pytest.fixture(scope="module")
def stopping() -> Iterator[ThreadPoolExecutor]:
    """Stop listeners beside the next test, because each takes half a second to look up."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


@pytest.fixture
def listening(spool: Spool, stopping: ThreadPoolExecutor) -> Iterator[Listening]:
    """Start listeners of some settings, each on a free port; stop them at the end."""
    started: list[Listener] = []

    def start(on_spool: Spool = spool, **options: Any) -> tuple[Listener, int]:
        extra = {key: options.pop(key) for key in ("result_senders", "on_kept") if key in options}
        settings = ReceiveSettings(port=free_port(), **options)
        listener = Listener(settings, on_spool, **extra)
        listener.start()
        started.append(listener)
        return listener, settings.port

    yield start
    for listener in started:
        stopping.submit(listener.stop)


def requestor(calling: str = "SCANNER", *contexts: tuple[str, list[str]]) -> AE:
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for sop_class, syntaxes in contexts or [(FOR_PRESENTATION, [ExplicitVRLittleEndian])]:
        entity.add_requested_context(sop_class, syntaxes)
    return entity


@contextmanager
def associated(
    port: int,
    *contexts: tuple[str, list[str]],
    calling: str = "SCANNER",
    called: str = "MAMMOCLIP",
    **options: Any,
) -> Iterator[Any]:
    """Hold an association; yields it established or not."""
    entity = requestor(calling, *contexts)
    association = entity.associate("127.0.0.1", port, ae_title=called, **options)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
            association.join(10)


def store(
    port: int, content: bytes, sop_class: str = FOR_PRESENTATION, *, uid: str = "1.2.3", **how: Any
) -> int | None:
    """Send bytes as a data set, whatever they are, with a command set of one's own."""
    syntax = how.pop("syntax", ExplicitVRLittleEndian)
    with associated(port, (sop_class, [syntax]), **how) as association:
        assert association.is_established
        return request(association, content, sop_class, uid)


def request(association: Any, content: bytes, sop_class: str, uid: str) -> int | None:
    message = C_STORE()
    message.MessageID = 1
    message.AffectedSOPClassUID = sop_class
    message.AffectedSOPInstanceUID = uid
    message.Priority = 2
    message.DataSet = BytesIO(content)
    context = association.accepted_contexts[0]
    association._reactor_checkpoint.clear()
    try:
        association.dimse.send_msg(message, context.context_id)
        _, answer = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
    return None if answer is None else answer.Status


def only_file(spool: Spool) -> Any:
    (receipt,) = spool.incoming()
    return spool.incoming_file(receipt)


def test_echo_is_answered(listening: Listening) -> None:
    _, port = listening()

    with associated(port, (Verification, [ExplicitVRLittleEndian])) as association:
        answer = association.send_c_echo()

    assert answer.Status == 0x0000


def test_mammogram_is_answered_with_success(listening: Listening, spool: Spool) -> None:
    _, port = listening()

    with associated(port) as association:
        answer = association.send_c_store(_with_meta(mammogram()))

    assert answer.Status == 0x0000
    assert len(spool.incoming()) == 1


def test_success_is_answered_only_after_the_spool_has_kept_it(
    listening: Listening, spool: Spool
) -> None:
    may_end, order = threading.Event(), []

    class SlowSpool(Spool):
        def keep(self, chunks: Any, receipt: Receipt) -> None:
            may_end.wait(10)
            super().keep(chunks, receipt)
            order.append("kept")

    _, port = listening(SlowSpool(spool.root))

    sending = threading.Thread(target=lambda: order.append(store(port, encoded(mammogram()))))
    sending.start()
    assert order == []
    may_end.set()
    sending.join(10)

    assert order == ["kept", 0x0000]


@pytest.mark.parametrize("error", STATUS_OF)
def test_spool_that_refuses_is_answered_with_its_status(
    listening: Listening, spool: Spool, error: type[RefusedError]
) -> None:
    class RefusingSpool(Spool):
        def keep(self, chunks: Any, receipt: Receipt) -> None:
            raise error("for the test")

    _, port = listening(RefusingSpool(spool.root))

    assert store(port, encoded(mammogram())) == STATUS_OF[error]


def test_every_reason_to_refuse_has_a_status() -> None:
    leaves = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, RefusedError) and not one.__subclasses__()
    }

    assert set(STATUS_OF) == leaves


def test_statuses_are_the_standards() -> None:
    assert {
        OutOfResourcesError: 0xA700,
        SopClassNotSupportedError: 0x0122,
        NotAuthorisedError: 0x0124,
    } == STATUS_OF


def test_spool_that_breaks_is_a_failure_and_the_association_goes_on(
    listening: Listening, spool: Spool
) -> None:
    class BrokenOnce(Spool):
        broken = True

        def keep(self, chunks: Any, receipt: Receipt) -> None:
            if self.broken:
                self.broken = False
                raise ValueError("a bug")
            super().keep(chunks, receipt)

    _, port = listening(BrokenOnce(spool.root))

    with associated(port) as association:
        first = request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.3")
        second = request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.4")

    assert first not in {0x0000, None}
    assert second == 0x0000


def test_disk_below_its_watermark_is_out_of_resources(listening: Listening, spool: Spool) -> None:
    _, port = listening(Spool(spool.root, minimum_free_bytes=2**60))

    assert store(port, encoded(mammogram())) == 0xA700
    assert spool.incoming() == []


def test_object_over_the_limit_is_out_of_resources(listening: Listening, spool: Spool) -> None:
    content = encoded(mammogram())
    _, port = listening(maximum_object_bytes=len(content) - 1)

    assert store(port, content) == 0xA700
    assert spool.incoming() == []


def test_object_at_the_limit_is_taken(listening: Listening) -> None:
    content = encoded(mammogram())
    _, port = listening(maximum_object_bytes=len(content))

    assert store(port, content) == 0x0000


def test_report_of_a_scanner_is_not_supported(listening: Listening) -> None:
    _, port = listening()

    assert store(port, encoded(mammogram()), COMPREHENSIVE_SR) == 0x0122


def test_secondary_capture_of_a_scanner_is_not_authorised(listening: Listening) -> None:
    _, port = listening()

    assert store(port, encoded(mammogram()), SECONDARY_CAPTURE) == 0x0124


def test_secondary_capture_of_a_configured_sender_is_taken(listening: Listening) -> None:
    _, port = listening(secondary_capture_senders=("DIGITISER",))

    status = store(port, encoded(mammogram()), SECONDARY_CAPTURE, calling="DIGITISER")

    assert status == 0x0000


@pytest.mark.parametrize("sop_class", ACCEPTED_CLASSES)
def test_destination_may_send_everything_round(listening: Listening, sop_class: str) -> None:
    _, port = listening(result_senders=frozenset({"ARCHIVE"}))

    assert store(port, encoded(mammogram()), sop_class, calling="ARCHIVE") == 0x0000


def test_tomosynthesis_is_taken_to_be_set_aside(listening: Listening) -> None:
    _, port = listening()

    assert store(port, encoded(mammogram()), TOMOSYNTHESIS) == 0x0000


def test_refusal_is_told_in_one_line_that_names_nobody(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening()

    store(port, encoded(mammogram()), COMPREHENSIVE_SR, calling="ROOM9")

    (line,) = log_lines
    assert (line["event"], line["status"]) == ("instance_refused", "0x0122")
    assert (line["calling_ae_title"], line["sop_class"]) == ("ROOM9", COMPREHENSIVE_SR)
    assert not [word for word in PATIENT_WORDS if word in str(line)]


@pytest.mark.parametrize("syntax", ALL_TRANSFER_SYNTAXES)
def test_object_of_any_transfer_syntax_is_kept_byte_for_byte(
    listening: Listening, spool: Spool, syntax: str
) -> None:
    _, port = listening()
    content = b"\x08\x00\x16\x00UI\x04\x001.2\x00" + bytes(range(256))

    status = store(port, content, syntax=syntax, calling="ROOM1")

    file = only_file(spool)
    assert status == 0x0000
    assert file.read_bytes()[content_offset(file) :] == content
    meta = pydicom.filereader.read_file_meta_info(file)
    assert (meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID) == (syntax, "1.2.3")
    assert meta.SendingApplicationEntityTitle == "ROOM1"


def test_bytes_that_are_no_data_set_are_kept(listening: Listening, spool: Spool) -> None:
    _, port = listening()

    assert store(port, b"this is not DICOM") == 0x0000
    assert only_file(spool).read_bytes().endswith(b"this is not DICOM")


@pytest.mark.parametrize("uid", ["../../../../tmp/x", "/etc/passwd", "1.2..3", "a" * 64, "1.2.ä"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_uid_in_the_request_that_is_none_names_no_file(
    listening: Listening, spool: Spool, uid: str
) -> None:
    _, port = listening()

    with associated(port) as association:
        context = association.accepted_contexts[0]
        _send_raw_request(association, context.context_id, uid.encode("latin-1"))
        wait_for(
            lambda: spool.incoming() or not association.is_established,
            seconds=10,
            what="the request is answered",
        )

    outside = [path for path in spool.root.parent.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(spool.root) for path in outside if path.suffix == ".dcm")
    for receipt in spool.incoming():
        assert spool.incoming_file(receipt).parent == spool.root / "incoming"


def test_called_title_of_somebody_else_is_rejected(
    listening: Listening, log_lines: list[Any]
) -> None:
    _, port = listening()

    with associated(port, called="SOMEBODY") as association:
        assert association.is_rejected

    wait_for(lambda: log_lines, seconds=10, what="the rejection is told")
    assert log_lines[0]["event"] == "association_rejected"
    assert log_lines[0]["called_ae_title"] == "SOMEBODY"


@pytest.mark.parametrize("called", ["MAMMOCLIP", "AI2", " AI2 "])
def test_each_of_the_nodes_titles_is_accepted(listening: Listening, called: str) -> None:
    _, port = listening(called_ae_titles=("AI1", "AI2"))

    with associated(port, called=called) as association:
        assert association.is_established


def test_any_called_title_is_accepted_where_none_is_required(listening: Listening) -> None:
    _, port = listening(require_called_ae_title=False)

    with associated(port, called="SOMEBODY") as association:
        assert association.is_established


@pytest.mark.parametrize(("calling", "accepted"), [("ROOM1", True), ("ROOM2", False)])
def test_only_configured_senders_are_accepted(
    listening: Listening, calling: str, accepted: bool
) -> None:
    _, port = listening(calling_ae_titles=("ROOM1",))

    with associated(port, calling=calling) as association:
        assert association.is_established is accepted


def test_association_over_the_limit_is_rejected_as_transient(listening: Listening) -> None:
    _, port = listening(maximum_associations=1)

    with associated(port) as first, associated(port) as second:
        assert first.is_established
        assert second.is_rejected
        assert second.acceptor.primitive.result == 0x02


def test_open_association_is_known_by_the_token_of_its_receipts(
    listening: Listening, spool: Spool
) -> None:
    listener, port = listening()

    with associated(port) as association:
        request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.3")
        request(association, encoded(mammogram()), FOR_PRESENTATION, "1.2.4")

        tokens = {receipt.association for receipt in spool.incoming()}
        assert len(tokens) == 1
        assert listener.open_tokens() == tokens


@pytest.mark.parametrize("end", ["release", "abort"])
def test_ended_association_is_open_no_more(listening: Listening, end: str) -> None:
    listener, port = listening()

    with associated(port) as association:
        assert len(listener.open_tokens()) == 1
        getattr(association, end)()

        wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_association_whose_line_is_cut_is_open_no_more(listening: Listening) -> None:
    listener, port = listening()
    entity = requestor()
    association = entity.associate("127.0.0.1", port, ae_title="MAMMOCLIP")
    assert len(listener.open_tokens()) == 1

    association.dul.socket.close()

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_rejected_association_is_not_open(listening: Listening) -> None:
    listener, port = listening()

    with associated(port, called="SOMEBODY"):
        pass

    wait_for(lambda: not listener.open_tokens(), seconds=10, what="the association is closed")


def test_kept_object_wakes_the_registrar(listening: Listening) -> None:
    woken = threading.Event()
    _, port = listening(on_kept=woken.set)

    store(port, encoded(mammogram()))

    assert woken.is_set()


def test_refused_object_wakes_nobody(listening: Listening) -> None:
    woken = threading.Event()
    _, port = listening(on_kept=woken.set)

    store(port, encoded(mammogram()), COMPREHENSIVE_SR)

    assert not woken.is_set()


def test_stopped_listener_lets_its_port_go(listening: Listening) -> None:
    listener, port = listening()

    listener.stop()

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_taken_port_is_an_error(listening: Listening, spool: Spool) -> None:
    _, port = listening()
    # In a process of its own: the library leaves the socket open that it could not bind.
    code = (
        "import sys; from pathlib import Path; from dicom_node.receive.listener import Listener\n"
        "from dicom_node.settings import ReceiveSettings; from dicom_node.spool import Spool\n"
        "Listener(ReceiveSettings(port=int(sys.argv[1])), Spool(Path(sys.argv[2]))).start()"
    )

    command = [sys.executable, "-c", code, str(port), str(spool.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"AddressError: cannot listen on 127.0.0.1 port {port}" in done.stderr


def test_connection_that_speaks_no_dicom_disturbs_nobody(listening: Listening) -> None:
    _, port = listening()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        line.settimeout(10)
        line.recv(64)

    assert store(port, encoded(mammogram())) == 0x0000


def _with_meta(dataset: pydicom.Dataset) -> pydicom.Dataset:
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _send_raw_request(association: Any, context_id: int, uid: bytes) -> None:
    """Send a C-STORE request whose UID the library would not encode."""
    message = C_STORE()
    message.MessageID = 1
    message.AffectedSOPClassUID = FOR_PRESENTATION
    message.AffectedSOPInstanceUID = UID("1" * 8)
    message.Priority = 2
    message.DataSet = BytesIO(encoded(mammogram()))

    def swap(event: evt.Event) -> None:
        element = event.message.command_set["AffectedSOPInstanceUID"]
        object.__setattr__(element, "_value", uid.decode("latin-1"))

    association.bind(evt.EVT_DIMSE_SENT, swap)
    association.dimse.send_msg(message, context_id)
