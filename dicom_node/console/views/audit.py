"""The view *Audit*: who did what, whether the file is as it was written, and the inventory."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response

from dicom_node.audit.acts import Act
from dicom_node.audit_trail import deeds_of, verified
from dicom_node.commands.model.reporting import inventory_of, report_content, report_made
from dicom_node.console.access import caller_of
from dicom_node.console.auditing import entered
from dicom_node.console.pages import Entry, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import Site, site_of
from dicom_node.sign_in.roles import Role

routes = Routes("audit", pages=True)
ENTRY = Entry("Audit", "/audit", Role.ADMIN)

NEWEST: Final = 100
"""Entries that are shown."""

StudyOrNone = Annotated[str, Query(pattern=r"^([0-9]+(\.[0-9]+)+)?$", max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFound:
    """The audit file at one moment.

    Attributes
    ----------
    entries : the newest ones, the newest first
    faults : what is wrong with the file, in words; none: it is as it was written
    """

    entries: Sequence[Mapping[str, Any]]
    lines: int
    faults: Sequence[str]


@routes.get("/audit", Role.ADMIN)
def audit(request: Request, study: StudyOrNone = "") -> Any:
    """Show the newest entries, whether the file was altered, and the inventory."""
    site = site_of(request)
    return page(
        request,
        "audit.html",
        title="Audit",
        found=audit_of(site, caller_of(request).name, study),
        study=study,
        inventory=inventory_of(site.settings, site.database).rows,
    )


@routes.get("/audit/report.{kind}", Role.ADMIN, response_class=Response)
def report(request: Request, kind: Annotated[Literal["html", "pdf"], Path()]) -> Any:
    """Return the report of the last whole month; it names no patient."""
    site = site_of(request)
    with entered(site, caller_of(request).name, Act.REPORT, detail=f"last month, {kind}"):
        made = report_made(site.settings, site.database)
        content = report_content(made, kind)
    name = f"report-{made.since:%Y-%m}.{kind}"
    media_type = "text/html; charset=utf-8" if kind == "html" else "application/pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


def audit_of(site: Site, who: str, study: str = "", *, limit: int = NEWEST) -> AuditFound:
    """Return the newest entries and what is wrong with the file, and enter who has looked.

    Parameters
    ----------
    study : Study Instance UID of which entries are wanted; empty for all
    """
    # Looked at before a line is added: that would hide where the end was.
    lines, faults = verified(site.settings, site.database)
    entries = deque(deeds_of(site.settings, study or None), maxlen=limit)
    found = f"{lines} lines, {len(faults)} faults"
    with entered(site, who, Act.VERIFY, study=study, detail=found):
        pass
    return AuditFound(
        entries=[_readable(one) for one in reversed(entries)],
        lines=lines,
        faults=[one.in_words() for one in faults],
    )


def _readable(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry as it is shown, whatever somebody has made of its line."""
    try:
        at = datetime.fromisoformat(str(entry.get("at"))).isoformat()
    except ValueError:
        at = ""
    studies = entry.get("studies")
    return {
        **{key: str(entry.get(key, "")) for key in ("who", "via", "act", "outcome", "detail")},
        "at": at,
        "studies": [str(one) for one in studies] if isinstance(studies, list) else [],
    }
