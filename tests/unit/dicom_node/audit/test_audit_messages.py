"""Audit messages have the elements of PS3.15 A.5, and wait while their collector is down."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from certificates import Authority
from ports import free_port

from dicom_node.audit.acts import Act, Deed, Outcome
from dicom_node.audit.dicom_messages import audit_message, syslog_message
from dicom_node.audit.syslog_queue import SyslogQueue
from dicom_node.audit.syslog_sender import SyslogSender
from dicom_node.settings.operation.audit import AuditSettings
from dicom_node.settings.tls import TlsSettings

DEED = Deed(
    at=datetime(2026, 3, 4, 9, 30, tzinfo=UTC),
    who='anna <"&',
    via="command",
    act=Act.RETRY,
    outcome=Outcome.DONE,
    studies=("1.2.3", "1.2.4"),
    detail="due again\x00\r\n<script>",
)

CHILDREN = {
    "AuditMessage": (
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ),
    "EventIdentification": ("EventID", "EventTypeCode", "EventOutcomeDescription"),
    "ActiveParticipant": ("RoleIDCode",),
    "AuditSourceIdentification": ("AuditSourceTypeCode",),
    "ParticipantObjectIdentification": ("ParticipantObjectIDTypeCode", "ParticipantObjectName"),
}
"""The grammar of PS3.15 A.5.1 as far as it is used: elements in this order, no others."""

REQUIRED = {
    "EventIdentification": {"EventActionCode", "EventDateTime", "EventOutcomeIndicator"},
    "ActiveParticipant": {"UserID", "UserIsRequestor"},
    "AuditSourceIdentification": {"AuditSourceID"},
    "ParticipantObjectIdentification": {
        "ParticipantObjectID",
        "ParticipantObjectTypeCode",
        "ParticipantObjectTypeCodeRole",
    },
    "EventID": {"csd-code", "codeSystemName", "originalText"},
    "EventTypeCode": {"csd-code", "codeSystemName", "originalText"},
    "ParticipantObjectIDTypeCode": {"csd-code", "codeSystemName", "originalText"},
}


@pytest.mark.parametrize("act", list(Act))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_act_is_a_message_of_the_standards_grammar(act: Act, outcome: Outcome) -> None:
    root = ElementTree.fromstring(
        audit_message(replace(DEED, act=act, outcome=outcome), source="node")
    )

    assert root.tag == "AuditMessage"
    for element in root.iter():
        names = [child.tag for child in element]
        allowed = CHILDREN.get(element.tag, ())
        assert names == sorted(names, key=allowed.index)
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
    event = root.find("EventIdentification")
    assert event is not None
    assert event.get("EventActionCode") in set("CRUDE")
    assert event.get("EventOutcomeIndicator") == ("4" if outcome is Outcome.REFUSED else "0")


def test_syslog_head_is_that_of_the_standard() -> None:
    head, _, xml = syslog_message(DEED, source="node").partition(b"\xef\xbb\xbf")

    fields = head.decode("ascii").split(" ")
    assert fields[0] == "<85>1"
    assert datetime.fromisoformat(fields[1]) == DEED.at
    assert (fields[3], fields[5], fields[6]) == ("mammoclip-node", "DICOM+RFC3881", "-")
    assert b"\n" not in head
    assert ElementTree.fromstring(xml).tag == "AuditMessage"


@dataclass
class Collector:
    """A receiver of syslog over TLS (RFC 5425), which reads frames until its peer ends."""

    authority: Authority
    orderly: bool = True
    messages: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        certificate = self.authority.issue("collector")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.file, certificate.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            with (
                suppress(OSError),  # a peer that does not trust it breaks off
                plain,
                self.context.wrap_socket(plain, server_side=True) as line,
            ):
                content = b""
                while portion := line.recv(65536):
                    content += portion
                    if not self.orderly:
                        break
                if self.orderly:
                    self.messages += _frames(content)
                else:
                    socket.socket(fileno=line.detach()).close()

    def close(self) -> None:
        self.listener.close()


def _frames(content: bytes) -> Iterator[bytes]:
    while content:
        length, _, rest = content.partition(b" ")
        yield rest[: int(length)]
        content = rest[int(length) :]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def queue(tmp_path: Path) -> SyslogQueue:
    (tmp_path / "partial").mkdir()
    return SyslogQueue(tmp_path)


def sender(port: int, tls: TlsSettings, queue: SyslogQueue) -> SyslogSender:
    return SyslogSender(AuditSettings(syslog_host="127.0.0.1", syslog_port=port), tls, queue)


def test_messages_come_in_order_once_their_collector_is_there(
    authority: Authority, queue: SyslogQueue
) -> None:
    for act in (Act.PAUSE, Act.RESUME, Act.ERASE):
        queue.keep(replace(DEED, act=act))
    collector = Collector(authority)

    assert sender(free_port(), authority.settings(), queue).step() == 0
    assert len(list(queue.waiting())) == 3
    assert sender(collector.port, authority.settings(), queue).step() == 3
    collector.close()

    assert not list(queue.waiting())
    acts = [b'csd-code="pause"', b'csd-code="resume"', b'csd-code="110105"']
    assert [act in one for act, one in zip(acts, collector.messages, strict=True)] == [True] * 3


def test_collector_that_breaks_off_gets_them_again(
    authority: Authority, queue: SyslogQueue
) -> None:
    for _ in range(20):
        queue.keep(replace(DEED, detail="x" * 2000))
    breaking, collector = Collector(authority, orderly=False), Collector(authority)

    sender(breaking.port, authority.settings(), queue).step()
    breaking.close()
    taken = len(list(queue.waiting()))
    sender(collector.port, authority.settings(), queue).step()
    collector.close()

    assert (taken, len(collector.messages)) == (20, 20)


def test_collector_of_another_authority_gets_nothing(
    authority: Authority, queue: SyslogQueue, tmp_path: Path
) -> None:
    queue.keep(DEED)
    collector = Collector(Authority(tmp_path / "other"))

    assert sender(collector.port, authority.settings(), queue).step() == 0
    collector.close()

    assert (collector.messages, len(list(queue.waiting()))) == ([], 1)
