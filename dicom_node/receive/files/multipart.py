"""Reads the parts of a multipart message as they come, within bounds (RFC 2046 5.1)."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from dicom_node.errors import NodeError

_PART_ENDS: Final = None


class BrokenMessageError(NodeError):
    """The message is not what its boundary says, or ends before it is complete."""

    reason = "broken-message"


class Part:
    """One part of a message; what is left of it is skipped when the next is asked for.

    Attributes
    ----------
    headers : by their names in lower case
    """

    def __init__(self, headers: Mapping[str, str], more: Callable[[], bytes | None]) -> None:
        self.headers = headers
        self._more = more
        self._rest = b""
        self._has_ended = False

    def read(self, size: int, /) -> bytes:
        """Return as many bytes of the part, or fewer at its end."""
        pieces, missing = [], size
        while missing:
            if not self._rest and not self._next():
                break
            piece, self._rest = self._rest[:missing], self._rest[missing:]
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def skip(self, longest_bytes: int) -> None:
        """Read to the end.

        Raises
        ------
        BrokenMessageError
            More than so many bytes are left.
        """
        self._rest = b""
        seen = 0
        while self._next():
            seen += len(self._rest)
            self._rest = b""
            if seen > longest_bytes:
                raise BrokenMessageError("a part is larger than any object may be")

    def _next(self) -> bool:
        if self._has_ended:
            return False
        more = self._more()
        self._has_ended = more is None
        self._rest = more or b""
        return not self._has_ended


class Multipart:
    """A multipart message that is read as it comes.

    Parameters
    ----------
    read : returns the next bytes of the message; none at its end
    boundary : as in the Content-Type
    longest_part_bytes : beyond it the rest of a part is not skipped
    """

    def __init__(
        self, read: Callable[[], bytes], boundary: bytes, *, longest_part_bytes: int
    ) -> None:
        self._read = read
        self._longest_part_bytes = longest_part_bytes
        self._events: deque[Mapping[str, str] | bytes | None] = deque()
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._take_name,
                    "on_header_value": self._take_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BrokenMessageError("the boundary is none") from error

    def parts(self) -> Iterator[Part]:
        """Yield each part, to be read before the next is asked for.

        Raises
        ------
        BrokenMessageError
            The message is malformed, or ends without its closing boundary.
        """
        while (headers := self._next_headers()) is not None:
            part = Part(headers, self._more)
            yield part
            part.skip(self._longest_part_bytes)

    def _next_headers(self) -> Mapping[str, str] | None:
        while not self._events:
            if self._is_complete:
                return None
            self._pull()
        event = self._events.popleft()
        assert isinstance(event, Mapping), "a part begins with its headers"
        return event

    def _more(self) -> bytes | None:
        while not self._events:
            self._pull()
        event = self._events.popleft()
        assert not isinstance(event, Mapping), "a part ends before the next begins"
        return event

    def _pull(self) -> None:
        data = self._read()
        if not data:
            raise BrokenMessageError("the message ends without its closing boundary")
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BrokenMessageError("the message is no multipart message") from error

    def _begin_part(self) -> None:
        self._headers = {}

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        name = self._name.decode("latin-1").strip().lower()
        self._headers[name] = self._value.decode("latin-1").strip()
        self._name = self._value = b""

    def _end_headers(self) -> None:
        self._events.append(self._headers)

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _end_part(self) -> None:
        self._events.append(_PART_ENDS)

    def _end(self) -> None:
        self._is_complete = True
