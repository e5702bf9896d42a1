"""The sections [ledger] and [broker]: the services that the node and its workers share."""

from pydantic import SecretStr

from dicom_node.settings.section import Section


class LedgerSettings(Section):
    """The database of studies, analyses and deliveries."""

    url: SecretStr | None = None
    """SQLAlchemy URL. Default: an SQLite file in the spool."""


class BrokerSettings(Section):
    """The message broker between node and workers."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """URL of Redis, Valkey or RabbitMQ."""
