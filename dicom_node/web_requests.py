"""HTTP requests to servers that settings or options name: verified TLS, time and size bounded."""

import io
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import requests
from requests.adapters import HTTPAdapter

from dicom_node.settings.tls import TlsSettings
from dicom_node.tls import client_context

_CONNECT_SECONDS = 10.0


class OwnAuthoritiesAdapter(HTTPAdapter):
    """Trusts the authorities of one TLS context; the library would let it trust its own too."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections with the context."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def cert_verify(self, *_arguments: Any, **_options: Any) -> None:
        """Add nothing to the context."""


class BoundedAdapter(OwnAuthoritiesAdapter):
    """Holds each exchange to some authorities, to a time between bytes, and to a size.

    Parameters
    ----------
    certificate_authorities : PEM file of those that the server's certificate must come from; None:
        those of the system
    is_tls : whether the server is spoken to over TLS

    Raises
    ------
    SettingsError
        The file of authorities is missing or wrong.
    """

    def __init__(
        self,
        *,
        certificate_authorities: Path | None,
        seconds: float,
        longest_bytes: int,
        is_tls: bool,
        minimum_version: Literal["1.2", "1.3"] = "1.2",
    ) -> None:
        self._seconds = seconds
        self._longest_bytes = longest_bytes
        context = None
        if is_tls:
            context = client_context(
                TlsSettings(
                    certificate_authorities=certificate_authorities,
                    minimum_version=minimum_version,
                )
            )
        super().__init__(context)

    def send(  # noqa: PLR0917  the library's own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and take its answer, which is cut where it is too long."""
        del stream, timeout, verify, cert
        within = (_CONNECT_SECONDS, self._seconds)
        return self._taken(super().send(request, True, within, True, None, proxies))

    def _taken(self, response: requests.Response) -> requests.Response:
        """Return an answer that has begun, with its content."""
        content = response.raw.read(self._longest_bytes, decode_content=True)
        response.raw.close()
        response.headers.pop("Content-Encoding", None)
        response.raw = io.BytesIO(content)
        return response


class StreamingAdapter(BoundedAdapter):
    """The same for answers that are read as they come, of any length."""

    def _taken(self, response: requests.Response) -> requests.Response:
        return response
