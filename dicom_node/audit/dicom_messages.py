"""Deeds as audit messages of the standard (PS3.15 A.5), in syslog's frame (RFC 5424).

PS3.15 A.5.3 has no event of its own for most of what an operator does to a queue. Those are told
as Procedure Record (110111) with the act in words in Event Type, as A.5.1.2 allows.
"""

import os
import socket
from typing import Final
from xml.etree import ElementTree

from dicom_node.audit.acts import Act, Deed, Outcome

MESSAGE_ID: Final = "DICOM+RFC3881"
"""MSGID of an audit message (PS3.15 A.6.2)."""

_SECURITY_NOTICE: Final = 10 * 8 + 5
"""Facility 10, security and authorization; severity 5, notice (PS3.15 A.6.2)."""

_SECURITY_WARNING: Final = 10 * 8 + 4

Code = tuple[str, str]
"""Value of the scheme DCM, and its meaning."""

_APPLICATION: Final = ("110100", "Application Activity")
_LOG_USED: Final = ("110101", "Audit Log Used")
_ACCESSED: Final = ("110103", "DICOM Instances Accessed")
_DELETED: Final = ("110105", "DICOM Study Deleted")
_EXPORT: Final = ("110106", "Export")
_PROCEDURE: Final = ("110111", "Procedure Record")
_SECURITY: Final = ("110113", "Security Alert")
_AUTHENTICATION: Final = ("110114", "User Authentication")

_EVENTS: Final[dict[Act, tuple[Code, Code | None, str]]] = {
    Act.START: (_APPLICATION, ("110120", "Application Start"), "E"),
    Act.STOP: (_APPLICATION, ("110121", "Application Stop"), "E"),
    Act.ERASE: (_DELETED, None, "D"),
    Act.BACK_UP: (_EXPORT, None, "R"),
    Act.EXPORT: (_EXPORT, None, "R"),
    Act.REPORT: (_EXPORT, None, "R"),
    Act.RECEIPT: (_EXPORT, None, "R"),
    Act.DOWNLOAD: (_EXPORT, None, "R"),
    Act.VERIFY: (_LOG_USED, None, "R"),
    Act.VIEW: (_ACCESSED, None, "R"),
    Act.SIGN_IN: (_AUTHENTICATION, ("110122", "Login"), "E"),
    Act.SIGN_OUT: (_AUTHENTICATION, ("110123", "Logout"), "E"),
    Act.MIGRATE_BACK: (_SECURITY, ("110131", "Software configuration"), "E"),
    Act.REFERENCE: (_SECURITY, ("110131", "Software configuration"), "E"),
    Act.USERS: (_SECURITY, ("110137", "User security Attributes Changed"), "U"),
    Act.TOKENS: (_SECURITY, ("110137", "User security Attributes Changed"), "U"),
    Act.THRESHOLDS: (_SECURITY, ("110131", "Software configuration"), "E"),
    Act.STOP_RULE: (_SECURITY, ("110131", "Software configuration"), "E"),
}
"""Event ID, Event Type and Event Action Code; what is not named is an updated Procedure Record."""

_STUDY_UID: Final = ("110180", "Study Instance UID")
_SUCCESS, _MINOR_FAILURE = "0", "4"


def syslog_message(deed: Deed, *, source: str) -> bytes:
    """Return a deed as one syslog message, without the frame of its transport.

    Parameters
    ----------
    source : name of the node in Audit Source ID
    """
    priority = _SECURITY_WARNING if deed.outcome is Outcome.REFUSED else _SECURITY_NOTICE
    at = deed.at.isoformat(timespec="milliseconds")
    head = f"<{priority}>1 {at} {_host()} mammoclip-node {os.getpid()} {MESSAGE_ID} - "
    return head.encode("ascii") + b"\xef\xbb\xbf" + audit_message(deed, source=source)


def audit_message(deed: Deed, *, source: str) -> bytes:
    """Return a deed as an XML document in UTF-8 (PS3.15 A.5.1)."""
    event, kind, action = _EVENTS.get(deed.act, (_PROCEDURE, None, "U"))
    root = ElementTree.Element("AuditMessage")
    described = ElementTree.SubElement(
        root,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=deed.at.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=_MINOR_FAILURE if deed.outcome is Outcome.REFUSED else _SUCCESS,
    )
    _coded(described, "EventID", event)
    if kind is not None:
        _coded(described, "EventTypeCode", kind)
    else:
        ElementTree.SubElement(
            described,
            "EventTypeCode",
            {
                "csd-code": deed.act.value,
                "codeSystemName": "99MAMMOCLIP",
                "originalText": f"{deed.act.value} {deed.outcome.value}",
            },
        )
    description = _legal(deed.detail)
    if description:
        ElementTree.SubElement(described, "EventOutcomeDescription").text = description
    user = _legal(deed.who)
    participant = ElementTree.SubElement(
        root,
        "ActiveParticipant",
        UserID=user,
        UserIsRequestor="true",
        NetworkAccessPointID=_host(),
        NetworkAccessPointTypeCode="1",
    )
    if deed.via == "node":
        _coded(participant, "RoleIDCode", ("110150", "Application"))
    place = ElementTree.SubElement(root, "AuditSourceIdentification", AuditSourceID=_legal(source))
    ElementTree.SubElement(place, "AuditSourceTypeCode", {"csd-code": "4"})
    for uid in deed.studies:
        study = ElementTree.SubElement(
            root,
            "ParticipantObjectIdentification",
            ParticipantObjectID=_legal(uid),
            ParticipantObjectTypeCode="2",
            ParticipantObjectTypeCodeRole="3",
        )
        _coded(study, "ParticipantObjectIDTypeCode", _STUDY_UID)
        ElementTree.SubElement(study, "ParticipantObjectName").text = "study"
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _coded(parent: ElementTree.Element, name: str, code: Code) -> None:
    value, meaning = code
    attributes = {"csd-code": value, "codeSystemName": "DCM", "originalText": meaning}
    ElementTree.SubElement(parent, name, attributes)


def _host() -> str:
    """Return this host's name as syslog takes it: printable ASCII, 255 characters."""
    name = "".join(one for one in socket.gethostname() if "!" <= one <= "~")
    return name[:255] or "-"


def _legal(text: str) -> str:
    """Return a text without the characters that XML has no form for."""
    return "".join(one if one >= " " and one.isprintable() else " " for one in text)
