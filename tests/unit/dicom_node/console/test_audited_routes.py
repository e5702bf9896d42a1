"""What changes anything by console or API is entered in the audit, route by route."""

from typing import Any

import pytest
from console_factory import PASSWORD, Served
from node_factory import STUDY_UID
from sqlalchemy import select
from test_roles import OPERATIONS, address

from dicom_node.audit_trail import deeds_of, verified
from dicom_node.sign_in.roles import Role
from dicom_node.spool.draining import end_draining
from dicom_node.studies.ledger.tables import Instance, Study

CHANGES_NOTHING = {
    ("POST", path)
    for path in (
        "/studies",
        "/api/studies/search",
        "/api/studies/list",
        "/api/studies/show",
        "/api/studies/named",
        "/rules/test",
        "/api/rules/test",
        "/destinations/echo",
        "/api/destinations/{name}/echo",
        "/api/check",
    )
}
READ_AND_ENTERED = {
    "/studies/{study}/download": "download",
    "/studies/{study}/objects/{instance}.dcm": "download",
    "/studies/{study}/receipt": "receipt",
    "/api/studies/{study}/receipt": "receipt",
    "/audit": "audit-verify",
    "/api/audit": "audit-verify",
    "/audit/report.{kind}": "report",
    "/api/scores": "export",
    "/api/assessments": "export",
    "/api/export": "export",
}
"""What leaves the node is entered too, though nothing is changed."""

FORMS: dict[str, dict[str, str]] = {
    "/studies/{study}/priority/set": {"level": "stat"},
    "/studies/{study}/erase/whole": {"confirm": f"{STUDY_UID}.404"},
    "/failures/retry": {"cause": "none"},
    "/destinations/retry": {"name": "archive"},
    "/pauses": {"what": "sender", "name": "ROOM1"},
    "/pauses/end": {"what": "sender", "name": "ROOM1"},
    "/drift/thresholds": {"equipment": "Maker M 7 2.0", "reference": "Maker M 7 1.0"},
    "/drift/thresholds/accept": {"number": "7"},
    "/drift/thresholds/withdraw": {"number": "7"},
    "/sign-in": {"name": "admin", "password": "wrong"},
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "/api/studies/{study}/priority": {"level": "stat"},
    "/api/destinations/{name}/move": {"to": "archive", "reason": "why"},
    "/api/destinations/{name}/drop": {"reason": "why"},
    "/api/retry": {"every": True, "reason": "no such reason"},
    "/api/pauses": {"what": "sender", "name": "ROOM1"},
    "/api/pauses/end": {"what": "sender", "name": "ROOM1"},
    "/api/drain": {"reason": "why"},
    "/api/drift/reference": {"scanner": "Maker M 8", "reason": "why"},
    "/api/replay": {"bundle": "none", "since": "2026-01-01"},
    "/api/audit/verify": {},
    "/api/thresholds": {"equipment": "Maker M 7 2.0", "reference": "Maker M 7 1.0"},
}
UPLOADS = {"/api/analyze": "files", "/api/submit": "file", "/api/assessments": "file"}
CHANGING = [
    (method, path)
    for method, path, _ in OPERATIONS
    if method != "GET" and (method, path) not in CHANGES_NOTHING
]


def deeds(served: Served) -> list[dict[str, Any]]:
    return list(deeds_of(served.settings))


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_route_that_changes_anything_is_entered_with_its_account(
    served: Served, method: str, path: str
) -> None:
    end_draining(served.spool.root)
    before = len(deeds(served))
    if path == "/sign-out":  # a program has nothing to sign out of
        served.person("admin").post(path)
        before += 2  # the sign-in
    else:
        options: dict[str, Any] = {"data": FORMS.get(path)}
        if path in DOCUMENTS:
            options = {"json": DOCUMENTS[path]}
        if path in UPLOADS:
            options = {"files": [(UPLOADS[path], ("1.dcm", b"no DICOM"))]}
        answer = served.ask(method, address(path), Role.ADMIN, **options)
        assert answer.status_code not in {401, 422, 500} or path == "/sign-in", answer.text

    added = deeds(served)[before:]
    person = "admin" if path.startswith("/sign-") else "token admin program"
    assert {(one["who"], one["via"]) for one in added} == {(person, "console")}
    assert added[0]["outcome"] == "begun"
    assert added[-1]["outcome"] in {"done", "refused"}
    assert len(added) == 2
    if "{study}" in path:
        assert added[0]["studies"] == [f"{STUDY_UID}.404"]


@pytest.mark.parametrize("path", [path for method, path, _ in OPERATIONS if method == "GET"])
def test_route_that_reads_is_entered_if_something_leaves_the_node(
    served: Served, path: str
) -> None:
    before = len(deeds(served))
    with served.database.reading() as session:
        uids = select(Instance.sop_instance_uid).join(Study, Study.id == Instance.study_id)
        instance = session.scalars(uids.where(Study.study_instance_uid == STUDY_UID)).first()
    assert instance is not None

    served.get(
        address(path.replace("{instance}", instance)).replace(".404", ""),
        Role.ADMIN,
    )

    acts = [one["act"] for one in deeds(served)[before:]]
    assert acts == ([READ_AND_ENTERED[path]] * 2 if path in READ_AND_ENTERED else [])


def test_sign_ins_are_entered_without_what_was_typed_for_a_name(served: Served) -> None:
    before = len(deeds(served))
    served.person("viewer")
    served.person("viewer", "wrong")
    served.person(PASSWORD, "my password is in the wrong field")

    added = deeds(served)[before:]
    ended = [(one["who"], one["outcome"]) for one in added if one["outcome"] != "begun"]
    assert ended == [("viewer", "done"), ("viewer", "refused"), ("unknown", "refused")]
    assert all("127.0.0.1" in one["detail"] for one in added if one["outcome"] == "begun")
    assert PASSWORD not in str(added)


def test_what_was_entered_is_one_chain(served: Served) -> None:
    count, faults = verified(served.settings, served.database)

    assert (count, faults) == (len(deeds(served)), [])
