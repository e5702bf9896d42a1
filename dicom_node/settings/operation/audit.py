"""The section [audit]: where audit messages are sent besides the node's own file."""

from dicom_node.settings.section import Name, Port, Section


class AuditSettings(Section):
    """What people and the node do is kept in audit.jsonl in the spool, and sent on if wanted."""

    syslog_host: str | None = None
    """Host that collects DICOM audit messages over TLS syslog (RFC 5425). Default: none."""
    syslog_port: Port = 6514
    """Its port."""
    source: Name = "mammoclip"
    """Name of this node in audit messages."""
