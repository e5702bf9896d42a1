"""HTTP exchanges with the provider: over verified TLS, bounded in time and in size."""

import io
import ssl
from collections.abc import Mapping
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from dicom_node.settings.operation.oidc import OidcSettings
from dicom_node.settings.tls import TlsSettings
from dicom_node.tls import client_context

_LONGEST_BYTES: Final = 1_000_000


class ProviderAdapter(HTTPAdapter):
    """Holds each exchange to the provider's authorities, to a time, and to a size.

    Parameters
    ----------
    tls : the section [tls]

    Raises
    ------
    SettingsError
        The file of authorities is missing or wrong.
    """

    def __init__(self, settings: OidcSettings, tls: TlsSettings) -> None:
        self._seconds = settings.timeout_seconds
        self._context: ssl.SSLContext | None = None
        if settings.issuer.startswith("https:"):
            # The node's own certificate is for its peers, not for the provider; nor are their
            # authorities the provider's.
            self._context = client_context(
                TlsSettings(
                    certificate_authorities=settings.certificate_authorities,
                    minimum_version=tls.minimum_version,
                )
            )
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections with the provider's authorities."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def cert_verify(self, *_arguments: Any, **_options: Any) -> None:
        """Add nothing to the context: the library would let it trust its own authorities too."""

    def send(  # noqa: PLR0917  the library's own signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request and read its whole answer, which is cut where it is too long."""
        del stream, timeout, verify, cert
        response = super().send(request, True, self._seconds, True, None, proxies)
        content = response.raw.read(_LONGEST_BYTES, decode_content=True)
        response.raw.close()
        response.headers.pop("Content-Encoding", None)
        response.raw = io.BytesIO(content)
        return response
