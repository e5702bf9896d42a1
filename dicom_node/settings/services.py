"""The sections [ledger] and [broker]: the services that the node and its workers share."""

from pydantic import SecretStr

from dicom_node.settings.section import Section


class LedgerSettings(Section):
    """Where the ledger is."""

    url: SecretStr | None = None
    """SQLAlchemy URL; without it an SQLite file in the spool."""


class BrokerSettings(Section):
    """Where the Celery broker is."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis-protocol server or RabbitMQ."""
