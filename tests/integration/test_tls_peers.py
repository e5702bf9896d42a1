"""TLS with dcmtk as a client of the node, and with openssl as a scanner.

Each row of the tables is one version, suite, certificate or AE title that is accepted or refused.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority, Certificate
from node_factory import mammogram
from ports import free_port
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from services import require_program

from dicom_node.receive.listener import Listener
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool

VERIFICATION = "1.2.840.10008.1.1"


def listening(tls: TlsSettings, folder: Path, **options: Any) -> Iterator[int]:
    settings = ReceiveSettings(port=free_port(), tls=True, certificate_names="subject", **options)
    listener = Listener(settings, Spool(folder), tls=tls)
    listener.start()
    yield settings.port
    listener.stop()


@pytest.fixture(scope="module")
def port(
    authority: Authority,
    peers: dict[str, Certificate | None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[int]:
    tls = authority.settings(authority.issue("node"), revocation_lists=authority.revocation_list())
    yield from listening(tls, tmp_path_factory.mktemp("spool"))


@pytest.fixture(scope="module")
def port_with_rsa(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    tls = authority.settings(authority.issue("node", bits=2048))
    yield from listening(tls, tmp_path_factory.mktemp("spool"))


@pytest.fixture(scope="module")
def port_of_tls13(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    tls = authority.settings(authority.issue("node"), minimum_version="1.3")
    yield from listening(tls, tmp_path_factory.mktemp("spool"))


def dcmtk_echo(
    port: int, authority: Authority, certificate: Certificate | None, *options: str
) -> bool:
    """Ask for an echo with dcmtk; return whether it was answered."""
    keys = ["+tla"] if certificate is None else ["+tls", certificate.key, certificate.file]
    title = [] if "-aet" in options else ["-aet", "SCANNER"]
    done = subprocess.run(
        [require_program("echoscu"), *keys, "+cf", authority.file, "-to", "10", *title,
         "-aec", "MAMMOCLIP", *options, "localhost", str(port)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode == 0


@pytest.mark.parametrize(
    ("certificate", "accepted"),
    [
        ("good", True),
        ("good rsa", True),
        ("of another title", False),
        ("of another authority", False),
        ("expired", False),
        ("revoked", False),
        ("weak", False),
        ("none", False),
    ],
)
def test_dcmtk_is_let_in_by_its_certificate(
    port: int,
    authority: Authority,
    peers: dict[str, Certificate | None],
    certificate: str,
    accepted: bool,
) -> None:
    assert dcmtk_echo(port, authority, peers[certificate]) is accepted


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        (["+py"], True),  # Non-downgrading BCP 195
        (["+px"], True),  # BCP 195
        (["+pz"], True),  # Extended BCP 195
        (["+pn"], False),  # no encryption
        (["-aet", "ROOM2"], False),
        (["-aec", "SOMEBODY"], False),
    ],
)
def test_dcmtk_is_let_in_by_profile_and_title(
    port: int,
    authority: Authority,
    peers: dict[str, Certificate | None],
    options: list[str],
    accepted: bool,
) -> None:
    assert dcmtk_echo(port, authority, peers["good"], *options) is accepted


def test_dcmtk_stores_over_tls(
    port: int, authority: Authority, peers: dict[str, Any], tmp_path: Path
) -> None:
    dataset = mammogram()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "image.dcm", enforce_file_format=True)
    good = peers["good"]

    done = subprocess.run(
        [require_program("storescu"), "+tls", good.key, good.file, "+cf", authority.file,
         "-aet", "SCANNER", "-aec", "MAMMOCLIP", "localhost", str(port), tmp_path / "image.dcm"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_dcmtk_of_tls12_alone_is_refused_where_tls13_is_required(
    port_of_tls13: int, authority: Authority, peers: dict[str, Certificate | None]
) -> None:
    assert dcmtk_echo(port_of_tls13, authority, peers["good"])
    assert not dcmtk_echo(port_of_tls13, authority, peers["good"], "+pz")


def test_dcmtk_without_tls_is_refused(port: int) -> None:
    done = subprocess.run(
        [require_program("echoscu"), "-aet", "SCANNER", "-to", "10", "localhost", str(port)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode != 0


ACCEPTED_ECDSA = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
ACCEPTED_RSA = tuple(suite.replace("ECDSA", "RSA") for suite in ACCEPTED_ECDSA)


def every_tls12_suite() -> list[str]:
    """Return every suite that this openssl can offer, the broken ones too."""
    done = subprocess.run(
        ["openssl", "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:eNULL:@SECLEVEL=0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip().split(":")


def openssl_finds(port: int, authority: Authority, peer: Certificate, *options: str) -> str:
    """Return what openssl's client prints of a handshake."""
    done = subprocess.run(
        [require_program("openssl"), "s_client", "-connect", f"localhost:{port}",
         "-CAfile", authority.file, "-cert", peer.file, "-key", peer.key, *options],
        input="", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def is_agreed(printed: str) -> bool:
    return "Cipher is (NONE)" not in printed and "Verify return code: 0 (ok)" in printed


def test_no_other_suite_of_tls12_is_agreed_with_an_ecdsa_certificate(
    port: int, authority: Authority, peers: dict[str, Any]
) -> None:
    assert agreed_suites(port, authority, peers["good"]) == set(ACCEPTED_ECDSA)


def test_no_other_suite_of_tls12_is_agreed_with_an_rsa_certificate(
    port_with_rsa: int, authority: Authority, peers: dict[str, Any]
) -> None:
    assert agreed_suites(port_with_rsa, authority, peers["good"]) == set(ACCEPTED_RSA)


def agreed_suites(port: int, authority: Authority, peer: Certificate) -> set[str]:
    """Offer everything, without what was agreed before, until nothing is agreed any more."""
    offered, agreed = every_tls12_suite(), set()
    weak = {"RC4", "DES-CBC3", "AES256-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384"}
    assert len([one for one in offered if one in weak]) >= 3, "the scanner offers what is refused"
    while offered:
        printed = openssl_finds(
            port, authority, peer, "-tls1_2", "-cipher", ":".join(offered) + ":@SECLEVEL=0"
        )
        if not is_agreed(printed):
            break
        suite = printed.split("Cipher is ")[1].split()[0]
        agreed.add(suite)
        offered.remove(suite)
    return agreed


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)],
)
def test_versions_before_tls12_are_refused(
    port: int, authority: Authority, peers: dict[str, Any], version: str, accepted: bool
) -> None:
    printed = openssl_finds(port, authority, peers["good"], version, "-cipher", "ALL:@SECLEVEL=0")

    assert is_agreed(printed) is accepted


def test_renegotiation_is_refused(port: int, authority: Authority, peers: dict[str, Any]) -> None:
    command = [require_program("openssl"), "s_client", "-connect", f"localhost:{port}",
               "-CAfile", authority.file, "-cert", peers["good"].file, "-key", peers["good"].key,
               "-tls1_2"]  # fmt: skip

    # "R" asks for another handshake within the connection.
    done = subprocess.run(
        command, input="R\n", capture_output=True, text=True, check=False, timeout=60
    )

    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stdout + done.stderr


def test_server_chooses_the_suite(port: int, authority: Authority, peers: dict[str, Any]) -> None:
    worst_first = ":".join(reversed(ACCEPTED_ECDSA[:2]))

    printed = openssl_finds(port, authority, peers["good"], "-tls1_2", "-cipher", worst_first)

    assert f"Cipher is {ACCEPTED_ECDSA[0]}" in printed
