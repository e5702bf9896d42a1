"""Guards every answer: names of the node, size of bodies, headers that bind the browser."""

from collections.abc import Collection
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_node.serving.hosts import is_own_name

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers then call the origin of forms null, as that of a foreign page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SECURE: Final = {"Strict-Transport-Security": "max-age=31536000"}


class TooLargeError(Exception):
    """The body of a request is larger than the settings allow."""


class Guard:
    """Stands before the application.

    Parameters
    ----------
    names : by which browsers may call the node, besides localhost and IP addresses
    longest_bytes : of a body
    """

    def __init__(
        self, app: ASGIApp, *, names: Collection[str], longest_bytes: int, is_secure: bool
    ) -> None:
        self._app = app
        self._names = names
        self._longest_bytes = longest_bytes
        self._headers = HEADERS | (_SECURE if is_secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = self._guarded(send)
        if not is_own_name(headers.get("host", ""), self._names):
            await _refusal(
                "the node is called by none of its names: see host_names under [console]", 421
            )(scope, receive, guarded)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._longest_bytes:
            await _refusal("the body is too large", 413)(scope, receive, guarded)
            return
        await self._app(scope, self._bounded(receive), guarded)

    def _bounded(self, receive: Receive) -> Receive:
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._longest_bytes:
                raise TooLargeError
            return message

        return bounded

    def _guarded(self, send: Send) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                # What is about patients stays in no cache; what is not says so itself.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return guarded


def _refusal(words: str, status: int) -> Any:
    return PlainTextResponse(f"{words}\n", status_code=status, headers={"Connection": "close"})
