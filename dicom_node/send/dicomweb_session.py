"""HTTP sessions with DICOMweb archives: credentials, TLS context and time limits."""

import ssl
from collections.abc import Mapping
from typing import Any

import requests
from dicomweb_client.session_utils import create_session_from_user_pass

from dicom_node.errors import DestinationDownError, SettingsError
from dicom_node.settings.destinations import DicomwebDestination
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.tls import client_context, words_for


def dicomweb_session(
    destination: DicomwebDestination, tls: TlsSettings = NO_CERTIFICATES
) -> requests.Session:
    """Return a session with an archive; renewed certificates count in each new one.

    Raises
    ------
    DestinationDownError
        A certificate is missing or wrong.
    """
    session = requests.Session()
    if destination.username is not None and destination.password is not None:
        session = create_session_from_user_pass(
            destination.username, destination.password.get_secret_value()
        )
    context: ssl.SSLContext | None = None
    if destination.url.startswith("https:"):
        try:
            context = client_context(tls.for_peer(destination))
        except SettingsError as error:
            raise DestinationDownError(f"{destination.name}: {error}") from error
    for scheme in ("http://", "https://"):
        session.mount(scheme, _ArchiveAdapter(destination.timeout_seconds, context))
    return session


def words_for_failure(error: Exception) -> str:
    """Return in words why an archive did not answer, and what to check."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLError):
            return (
                f"TLS failed: {words_for(found)}. Check certificates under [[destinations]] and "
                "[tls], and what the archive trusts."
            )
        found = found.__cause__ or found.__context__
    return f"{type(error).__name__}. Check that it is running, and url under [[destinations]]."


class _ArchiveAdapter(requests.adapters.HTTPAdapter):
    """Sets the destination's timeout and TLS context, and simplifies the answer's media type.

    The library has a fixed timeout, and cannot read an answer whose media type has a parameter,
    such as ``application/dicom+json; charset=utf-8``.
    """

    def __init__(self, seconds: float, context: ssl.SSLContext | None) -> None:
        self._seconds = seconds
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the connections with the destination's TLS context."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the connections through a proxy with the destination's TLS context too."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **options)

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
        """Send within the destination's timeout, with its TLS context and no other authorities.

        The library would add those that its environment variables name.
        """
        response = super().send(request, stream, self._seconds, True, None, proxies)
        media_type = response.headers.get("Content-Type", "")
        response.headers["Content-Type"] = media_type.partition(";")[0].strip().lower()
        return response
