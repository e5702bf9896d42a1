"""TLS with dcmtk and openssl as archives that the node calls.

Each row of the tables is one version, suite or certificate that is accepted or refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from services import Service, free_port, require_program, wait_for

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.settings.destinations import DicomDestination
from dicom_node.settings.tls import TlsSettings

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def dcmtk_archive(authority: Authority, tmp_path: Path) -> Iterator[Any]:
    """Start storescp with a certificate and options; return its port."""
    started: list[Service] = []

    def start(certificate: Certificate, *options: str) -> int:
        port = free_port()
        command = [require_program("storescp"), "+tls", str(certificate.key), str(certificate.file),
                   "+cf", str(authority.file), "-aet", "ARCHIVE", "-od", str(tmp_path),
                   *options, str(port)]  # fmt: skip
        service = Service("storescp", command, tmp_path / f"storescp-{port}.log").start()
        started.append(service)

        def listens() -> bool:
            service.require_alive()
            return f":{port:04X} " in Path("/proc/net/tcp").read_text() or (
                f":{port:04X} " in Path("/proc/net/tcp6").read_text()
            )

        wait_for(listens, seconds=20, what="storescp listens")
        return port

    yield start
    for service in started:
        service.kill()


def echo(port: int, tls: TlsSettings, **destination: Any) -> str:
    """Call an archive; return what is said of a failure, or nothing."""
    archive = DicomDestination(
        name="archive", ae_title="ARCHIVE", port=port,
        **{"host": "localhost", "tls": True, "timeout_seconds": 10, **destination},
    )  # fmt: skip
    contexts = {(VERIFICATION, syntax) for syntax in UNCOMPRESSED}
    try:
        with Deadline() as deadline:
            association = associate(archive, "MAMMOCLIP", contexts, deadline=deadline, tls=tls)
            answer = association.send_c_echo()
            association.release()
            return "" if answer.get("Status") == 0 else "no echo"
    except DestinationDownError as error:
        return str(error)


@pytest.mark.parametrize("options", [["+py"], ["+px"], ["+pz"]])
def test_dcmtk_is_called_over_tls(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], options: list[str]
) -> None:
    port = dcmtk_archive(peers["good"], *options)

    assert echo(port, authority.settings(peers["good"])) == ""


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ("of another host", "Hostname mismatch"),
        ("without a name", "Hostname mismatch"),
        ("of another authority", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("revoked", "certificate revoked"),
    ],
)
def test_archive_with_a_wrong_certificate_is_not_sent_to(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], certificate: str, told: str
) -> None:
    port = dcmtk_archive(peers[certificate])
    tls = authority.settings(peers["good"], revocation_lists=authority.revocation_list("our.crl"))

    assert f"TLS failed: certificate refused: {told}" in echo(port, tls)


def test_archive_that_speaks_old_suites_only_is_not_sent_to(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    # The AES profile, retired: an RSA key exchange without forward secrecy, and CBC.
    port = dcmtk_archive(peers["good rsa"], "+pa")

    assert "TLS failed" in echo(port, authority.settings(peers["good"]))


def test_archive_that_refuses_the_nodes_certificate_is_told_as_such(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    port = dcmtk_archive(peers["good"])

    told = echo(port, authority.settings(peers["of another authority"]))

    assert "TLS failed" in told
    assert "unknown ca" in told


def test_archive_without_tls_is_not_sent_to(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], tmp_path: Path
) -> None:
    port = free_port()
    command = [require_program("storescp"), "-od", str(tmp_path), str(port)]
    service = Service("storescp", command, tmp_path / "plain.log").start()
    try:
        told = wait_for(
            lambda: (
                (text := echo(port, authority.settings(peers["good"])))
                and "does not answer" not in text
                and text
            ),
            seconds=20,
            what="the plain archive answers",
        )
    finally:
        service.kill()

    assert "TLS failed" in told


def test_name_in_the_certificate_may_differ_from_the_host(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    port = dcmtk_archive(peers["of another host"])

    assert echo(port, authority.settings(peers["good"]), tls_server_name="elsewhere") == ""


def test_destination_may_have_certificates_of_its_own(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    port = dcmtk_archive(peers["good"])
    own = {
        "certificate_authorities": authority.file,
        "certificate": peers["good"].file,
        "private_key": peers["good"].key,
    }

    assert echo(port, TlsSettings(), **own) == ""


def test_missing_certificate_is_told_with_its_file(authority: Authority) -> None:
    tls = authority.settings(Certificate(Path("/absent.crt"), Path("/absent.key")))

    assert "certificate /absent.crt cannot be read: No such file" in echo(free_port(), tls)
