"""HTTP connections that know when they were answered, and which answer is the last."""

import http.client
import io
import re
import socket
from typing import Any, Final

import requests

from dicom_node.early_answer import send_and_listen

_INTERIM: Final = range(102, 200)
"""Statuses that announce another one. 101 does not: it is the last answer in HTTP."""

_ANNOUNCEMENTS: Final = re.compile(
    rb"(HTTP/1\.\d 1\d\d[^\r\n]*\r?\n([^\r\n]+\r?\n)*\r?\n)*(HTTP/1\.\d 1((?!\r?\n\r?\n)[\s\S])*)?"
)
"""Answers that announce another one, the last of them perhaps in part."""


class _LastAnswer(http.client.HTTPResponse):
    """An answer that is read past all those which only announce it (RFC 9110 15.2).

    The library does so with 100 alone, and takes 102 or 103 for the end.
    """

    came_too_early = False
    """Whether it began before the request had been sent whole."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, http.client.CONTINUE if status in _INTERIM else status, reason


class ListeningConnection(http.client.HTTPConnection):
    """A connection that knows whether it was answered before it had sent everything."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ahead = bytearray()

    def send(self, data: Any) -> None:
        """Write what the library has made of a request, part by part."""
        if self.sock is None or not isinstance(data, bytes):
            super().send(data)
        else:
            send_and_listen(self.sock, data, self._ahead)

    def response_class(  # type: ignore[override]
        self, connection: socket.socket, *arguments: Any, **options: Any
    ) -> http.client.HTTPResponse:
        """Return the answer, of which the beginning may have been read."""
        ahead, self._ahead = bytes(self._ahead), bytearray()
        answer = _LastAnswer(connection, *arguments, **options)
        if ahead:
            answer.came_too_early = _ANNOUNCEMENTS.fullmatch(ahead) is None
            rest = connection.makefile("rb", buffering=0)
            answer.fp.close()
            answer.fp = io.BufferedReader(_Continued(ahead, rest))
        return answer


class _Continued(io.RawIOBase):
    """What was read of a connection, and what is still to be read of it."""

    def __init__(self, ahead: bytes, rest: io.RawIOBase) -> None:
        self._ahead = ahead
        self._rest = rest

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what was read ahead first."""
        if not self._ahead:
            return self._rest.readinto(buffer)
        size = min(len(buffer), len(self._ahead))
        buffer[:size] = self._ahead[:size]
        self._ahead = self._ahead[size:]
        return size

    def close(self) -> None:
        """Close the connection's side too."""
        self._rest.close()
        super().close()


def came_too_early(response: requests.Response) -> bool:
    """Return whether an answer began before the whole request was on its way.

    A refusal may do so; what a peer does not have, it cannot have stored.
    """
    return isinstance(answer := response.raw._original_response, _LastAnswer) and (
        answer.came_too_early
    )
