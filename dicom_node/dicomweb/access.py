"""Decides who may use the DICOMweb service: by token, certificate and network."""

import hmac
from collections.abc import Mapping
from typing import Any, Final, Literal

from dicom_node.errors import NodeError
from dicom_node.receive.access import is_named, is_within
from dicom_node.settings.ways_in.dicomweb import DicomwebClientSettings, DicomwebSettings

_SCHEME: Final = "bearer "


class NotAdmittedError(NodeError):
    """The request is refused; `status` is 401 for an unknown client, 403 for a known one."""

    reason = "not-admitted"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def admitted(
    settings: DicomwebSettings,
    *,
    to: Literal["store", "read"],
    address: str,
    authorization: str,
    certificate: Mapping[str, Any],
) -> DicomwebClientSettings:
    """Return the client that calls.

    Parameters
    ----------
    to : what it wants to do
    authorization : the header of this name; empty if there is none
    certificate : what `ssl.SSLSocket.getpeercert` returns; empty without a certificate

    Raises
    ------
    NotAdmittedError
        Nobody known calls, or it may not do this.
    """
    known = [
        client
        for client in settings.clients
        if is_within(address, client.networks)
        and _shows_its_token(client, authorization)
        and _has_its_name(client, certificate)
    ]
    if not known:
        raise NotAdmittedError("no token, certificate or network of a client", status=401)
    for client in known:
        if to in client.may:
            return client
    raise NotAdmittedError(f"this client may not {to}", status=403)


def _shows_its_token(client: DicomwebClientSettings, authorization: str) -> bool:
    if client.token is None:
        return True
    scheme, shown = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :].strip()
    expected = client.token.get_secret_value().encode()
    return scheme.lower() == _SCHEME and hmac.compare_digest(shown.encode(), expected)


def _has_its_name(client: DicomwebClientSettings, certificate: Mapping[str, Any]) -> bool:
    name = client.certificate_name
    return name is None or is_named({name}, certificate, "san")
