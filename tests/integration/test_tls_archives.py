"""TLS with dcmtk and openssl as archives that the node calls.

Each row of the tables is one version, suite or certificate that is accepted or refused.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from ports import free_port
from services import Service, require_program, wait_for

from dicom_node.deadline import Deadline
from dicom_node.errors import DestinationDownError
from dicom_node.network import UNCOMPRESSED, associate
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_out.destinations import DicomDestination

ACCEPTED_ECDSA = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
ACCEPTED_RSA = tuple(suite.replace("ECDSA", "RSA") for suite in ACCEPTED_ECDSA)
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a server that listens on the last of its arguments; return its port."""
    services: list[Service] = []

    def start(program: str, *arguments: Any, port: int | None = None) -> int:
        port = port or free_port()
        command = [require_program(program), *map(str, arguments)]
        service = Service(program, command, tmp_path / f"{program}-{port}.log").start()
        services.append(service)

        def listens() -> bool:
            service.require_alive()
            return f":{port:04X} " in Path("/proc/net/tcp").read_text() or (
                f":{port:04X} " in Path("/proc/net/tcp6").read_text()
            )

        wait_for(listens, seconds=20, what=f"{program} listens")
        return port

    yield start
    for service in services:
        service.kill()


@pytest.fixture
def dcmtk_archive(authority: Authority, tmp_path: Path, started: Callable[..., int]) -> Any:
    """Start storescp, or another receiver, with a certificate and options; return its port."""

    def start(certificate: Certificate, *options: str, program: str = "storescp") -> int:
        port = free_port()
        return started(program, "+tls", certificate.key, certificate.file, "+cf", authority.file,
                       "-aet", "ARCHIVE", "-od", tmp_path, *options, port, port=port)  # fmt: skip

    return start


@pytest.fixture
def openssl_server(authority: Authority, started: Callable[..., int]) -> Any:
    """Start a server that speaks TLS, and nothing within it; return its port."""

    def start(certificate: Certificate, *options: str) -> int:
        port = free_port()
        return started("openssl", "s_server", "-quiet", "-accept", port, "-cert", certificate.file,
                       "-key", certificate.key, "-CAfile", authority.file, *options,
                       port=port)  # fmt: skip

    return start


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


@pytest.mark.parametrize("program", ["storescp", "dcmrecv"])
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_is_called_over_tls(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], program: str, profile: str
) -> None:
    port = dcmtk_archive(peers["good"], profile, program=program)

    assert echo(port, authority.settings(peers["good"])) == ""


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param("+pa", id="AES without forward secrecy, retired"),
        pytest.param("+pn", id="no encryption, retired"),
    ],
)
@pytest.mark.parametrize("program", ["storescp", "dcmrecv"])
def test_archive_of_a_retired_profile_is_not_sent_to(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], program: str, profile: str
) -> None:
    port = dcmtk_archive(peers["good rsa"], profile, program=program)

    assert "TLS failed" in echo(port, authority.settings(peers["good"]))


@pytest.mark.parametrize(
    ("version", "refused"),
    [("-tls1", True), ("-tls1_1", True), ("-tls1_2", False), ("-tls1_3", False)],
)
def test_archive_of_a_version_before_tls12_is_not_sent_to(
    openssl_server: Any,
    authority: Authority,
    peers: dict[str, Any],
    version: str,
    refused: bool,
) -> None:
    port = openssl_server(peers["good"], version, "-cipher", "ALL:@SECLEVEL=0")

    told = echo(port, authority.settings(peers["good"]), timeout_seconds=1)

    assert ("TLS failed" in told) is refused


@pytest.mark.parametrize("suite", [*ACCEPTED_ECDSA, *ACCEPTED_RSA])
def test_archive_of_a_suite_of_the_profile_is_called(
    openssl_server: Any, authority: Authority, peers: dict[str, Any], suite: str
) -> None:
    certificate = peers["good" if "ECDSA" in suite else "good rsa"]
    port = openssl_server(certificate, "-tls1_2", "-cipher", suite)

    told = echo(port, authority.settings(peers["good"]), timeout_seconds=1)

    assert told
    assert "TLS failed" not in told


@pytest.mark.parametrize("certificate", ["good", "good rsa"])
def test_archive_of_every_other_suite_is_not_sent_to(
    openssl_server: Any, authority: Authority, peers: dict[str, Any], certificate: str
) -> None:
    without = ":".join(f"!{suite}" for suite in (*ACCEPTED_ECDSA, *ACCEPTED_RSA))
    others = f"ALL:COMPLEMENTOFALL:eNULL:{without}:@SECLEVEL=0"
    port = openssl_server(peers[certificate], "-tls1_2", "-cipher", others)

    assert "TLS failed" in echo(port, authority.settings(peers["good"]), timeout_seconds=1)


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ("of another host", "Hostname mismatch"),
        ("without a name", "Hostname mismatch"),
        ("of another authority", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
        ("revoked", "certificate revoked"),
        ("weak", "EE certificate key too weak"),
    ],
)
def test_archive_with_a_wrong_certificate_is_not_sent_to(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any], certificate: str, told: str
) -> None:
    port = dcmtk_archive(peers[certificate])
    tls = authority.settings(peers["good"], revocation_lists=authority.revocation_list("our.crl"))

    assert f"TLS failed: certificate refused: {told}" in echo(port, tls)


def test_archive_that_refuses_the_nodes_certificate_is_told_as_such(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    port = dcmtk_archive(peers["good"])

    told = echo(port, authority.settings(peers["of another authority"]))

    assert "TLS failed" in told
    assert "unknown ca" in told


def test_archive_that_asks_for_a_certificate_is_told_of_its_lack(
    dcmtk_archive: Any, authority: Authority, peers: dict[str, Any]
) -> None:
    port = dcmtk_archive(peers["good"])

    assert "TLS failed" in echo(port, authority.settings(None))


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
