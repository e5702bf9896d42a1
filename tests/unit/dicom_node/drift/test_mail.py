"""Alarms by e-mail: to a real listener that speaks SMTP, and nothing where it is not encrypted."""

import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from node_factory import Reception

from dicom_node.drift.channels import Channels
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.monitoring.alarm_book import enter_alerts
from dicom_node.studies.ledger.monitoring.tables import Alert

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Conversation(socketserver.StreamRequestHandler):
    """Answers as a mail server without encryption does, and keeps what it is told."""

    def handle(self) -> None:
        self._say("220 here")
        for line in self.rfile:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                self._say("250-here\r\n250 SIZE 1000000")
            elif word == b"DATA":
                self._say("354 go on")
                lines: list[bytes] = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.mails.append(b"".join(lines))  # type: ignore[attr-defined]
                self._say("250 taken")
            elif word == b"QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, words: str) -> None:
        self.wfile.write(f"{words}\r\n".encode())


@pytest.fixture
def server() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Conversation) as made:
        made.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def channels(reception: Reception, server: Any, **changes: Any) -> Channels:
    alerts = {
        "smtp_host": "127.0.0.1",
        "smtp_port": server.server_address[1],
        "mail_from": "node@example.org",
        "mail_to": "physicist@example.org",
        **changes,
    }
    with reception.database.writing() as session:
        enter_alerts(
            session, ["mail"], "silence A\r\nBcc: x", "Nothing came.", at=datetime.now(UTC)
        )
    return Channels(Settings(spool=reception.spool.root, alerts=alerts), reception.database)


def test_alarm_is_mailed_once(reception: Reception, server: Any) -> None:
    sending = channels(reception, server, smtp_starttls=False)

    assert (sending.step(), sending.step()) == (1, 0)

    (mail,) = server.mails
    assert b"To: physicist@example.org" in mail
    assert b"Nothing came." in mail
    assert b"\nBcc:" not in mail, "what comes from a header starts no line of its own"


def test_nothing_is_mailed_where_encryption_is_not_offered(
    reception: Reception, server: Any
) -> None:
    assert channels(reception, server).step() == 0

    assert server.mails == []
    (waiting,) = reception.rows(Alert)
    assert (waiting.sent_at, bool(waiting.reason)) == (None, True)
