"""The sections [ledger] and [broker]: the services that the node and its workers share."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import SecretStr, StringConstraints, field_validator

from dicom_node.settings.section import Secret, Section
from dicom_node.settings.tls import Certificates


class LedgerSettings(Section):
    """The database of studies, analyses and deliveries."""

    url: Secret | None = None
    """SQLAlchemy URL. Default: an SQLite file in the spool."""
    identifiers: bool = True
    """Keep accession number, patient ID, name and dates of a study as long as its files, to find it
    by them; false: those kept so far are forgotten when the node starts."""


class BrokerSettings(Certificates):
    """The message broker between node and workers."""

    url: Secret = SecretStr("redis://127.0.0.1:6379/0")
    """URL of Redis, Valkey or RabbitMQ; rediss:// and amqps:// are TLS, certificates as [tls]."""
    key_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{0,64}$")] = ""
    """Before the name of every key in Redis, so that a broker can be shared; empty: none."""

    @field_validator("url")
    @classmethod
    def _url_says_nothing_of_tls(cls, url: SecretStr) -> SecretStr:
        # ?ssl_cert_reqs=none would win over the certificates, and check nothing.
        if "ssl_" in urlsplit(url.get_secret_value()).query:
            raise ValueError("ssl_ parameters are not taken: set certificates under [broker]")
        return url

    @property
    def scheme(self) -> str:
        """Return the scheme of the URL, for example ``rediss``."""
        return urlsplit(self.url.get_secret_value()).scheme

    @property
    def host(self) -> str:
        """Return the host of the URL."""
        return urlsplit(self.url.get_secret_value()).hostname or ""
