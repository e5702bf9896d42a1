"""Archives whose answers quote patients and passwords, as those of real ones may."""

import socket
import threading
from contextlib import ExitStack
from typing import Self

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from unit.dicom_node.send.hostile import (
    after_association,
    after_request_of_http,
    sends,
    serving,
)


class TalkativeArchives:
    """Two archives that refuse everything with a text of their own, and one that says nothing.

    Parameters
    ----------
    text : what they say, in comments, reasons and bodies
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._entity = AE(ae_title="REFUSING")
        self._entity.supported_contexts = AllStoragePresentationContexts
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        handlers = [(evt.EVT_C_STORE, self._refuse)]
        server = self._entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self._stack.callback(server.shutdown)
        self.dicom_port: int = server.server_address[1]
        self.web_port = self._stack.enter_context(serving(after_request_of_http(self._answer)))
        silent = after_association(sends(b"\x04\x00\x00"))
        self.silent_port = self._stack.enter_context(serving(silent))
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _refuse(self, _event: evt.Event) -> Dataset:
        answer = Dataset()
        answer.Status = 0xA900
        answer.ErrorComment = self._text[:64]
        return answer

    def _answer(self, connection: socket.socket, _over: threading.Event) -> None:
        body = self._text.encode()
        head = f"HTTP/1.1 400 {self._text}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    def settings(self) -> str:
        """Return the settings of the three as destinations."""
        return f"""
[[destinations]]
name = "refusing"
ae_title = "REFUSING"
host = "127.0.0.1"
port = {self.dicom_port}
[[destinations]]
name = "talkative"
kind = "dicomweb"
url = "http://127.0.0.1:{self.web_port}/dicom-web"
username = "node"
password = {{ environment = "WEB_PASSWORD" }}
[[destinations]]
name = "silent"
ae_title = "SILENT"
host = "127.0.0.1"
port = {self.silent_port}
timeout_seconds = 1
exchange_seconds = 1
"""
