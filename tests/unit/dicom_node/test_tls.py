"""TLS contexts of the node: what they refuse, and what is told of wrong certificates."""

import ssl
from pathlib import Path

import pytest
from certificates import Authority, Certificate

from dicom_node.errors import SettingsError
from dicom_node.settings.tls import Certificates, TlsSettings
from dicom_node.tls import (
    SUITES,
    RenewingContext,
    amqp_options,
    client_context,
    redis_options,
    server_context,
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue("node")


def contexts(tls: TlsSettings) -> list[ssl.SSLContext]:
    return [server_context(tls, asks_for_certificate=True), client_context(tls)]


def test_contexts_agree_to_the_suites_of_the_profile_alone(
    authority: Authority, certificate: Certificate
) -> None:
    for context in contexts(authority.settings(certificate)):
        old = [one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"]
        assert old == list(SUITES)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_contexts_begin_at_the_lowest_version_of_the_settings(
    authority: Authority, certificate: Certificate, version: str
) -> None:
    for context in contexts(authority.settings(certificate, minimum_version=version)):
        assert context.minimum_version.name == f"TLSv{version.replace('.', '_')}"
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION


def test_peers_are_always_checked(authority: Authority, certificate: Certificate) -> None:
    server, client = contexts(authority.settings(certificate))

    assert (server.verify_mode, client.verify_mode) == (ssl.CERT_REQUIRED, ssl.CERT_REQUIRED)
    assert client.check_hostname
    assert not client.hostname_checks_common_name


def test_authorities_of_the_settings_are_trusted_alone(authority: Authority) -> None:
    assert len(client_context(authority.settings()).get_ca_certs()) == 1


def test_authorities_of_the_system_are_trusted_where_none_are_set(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    assert len(client_context(TlsSettings()).get_ca_certs()) >= 1


def test_locked_key_is_opened_by_its_password(authority: Authority) -> None:
    locked = authority.issue("locked", password="s3cret")

    client_context(authority.settings(locked, private_key_password="s3cret"))


@pytest.mark.parametrize("password", [None, "wr0ng"])
def test_wrong_password_is_told_without_it(authority: Authority, password: str | None) -> None:
    locked = authority.issue("locked", password="s3cret")

    with pytest.raises(SettingsError, match="private_key_password") as caught:
        client_context(authority.settings(locked, private_key_password=password))

    assert "wr0ng" not in str(caught.value)


def test_key_of_another_certificate_is_told(authority: Authority, certificate: Certificate) -> None:
    mixed = Certificate(certificate.file, authority.issue("other").key)

    with pytest.raises(SettingsError, match="key values mismatch"):
        client_context(authority.settings(mixed))


@pytest.mark.parametrize("name", ["certificate_authorities", "revocation_lists"])
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_file_that_does_not_serve_is_told_with_its_key(
    authority: Authority, tmp_path: Path, name: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError, match=f"{name} {file}"):
        client_context(authority.settings(**{name: file}))


def test_broken_renewal_is_told_once_and_harms_nobody(
    authority: Authority, certificate: Certificate, tmp_path: Path, log_lines: list[dict]
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(authority.file.read_bytes())
    tls = authority.settings(certificate, certificate_authorities=file)
    context = RenewingContext(tls, asks_for_certificate=True)
    file.write_text("half a cert")

    for _ in range(3):
        context._renew()

    assert [line["event"] for line in log_lines] == ["certificates_not_renewed"]
    file.write_bytes(authority.file.read_bytes())
    context._renew()
    assert log_lines[-1]["event"] == "certificates_renewed"


def test_peer_takes_what_it_does_not_set_from_the_section_tls(
    authority: Authority, certificate: Certificate
) -> None:
    tls = authority.settings(certificate, revocation_lists="/r.crl", private_key_password="a")
    other = Certificates(certificate="/own.crt", private_key="/own.key")

    merged = tls.for_peer(other)

    assert (merged.certificate, merged.private_key) == (Path("/own.crt"), Path("/own.key"))
    assert merged.private_key_password is None
    assert merged.certificate_authorities == authority.file
    assert merged.revocation_lists == Path("/r.crl")
    assert tls.for_peer(Certificates()) == tls


def test_broker_is_checked_with_its_name(authority: Authority, certificate: Certificate) -> None:
    tls = authority.settings(certificate)

    redis, amqp = redis_options(tls), amqp_options(tls, "broker")

    assert redis["ssl_cert_reqs"] == amqp["cert_reqs"] == ssl.CERT_REQUIRED
    assert redis["ssl_check_hostname"]
    assert amqp["server_hostname"] == "broker"
    assert redis["ssl_ca_certs"] == amqp["ca_certs"] == str(authority.file)
