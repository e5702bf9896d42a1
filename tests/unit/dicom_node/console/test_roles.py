"""Every route by every role, generated from the OpenAPI document."""

import json
from typing import Any

import pytest
from console_factory import Served
from node_factory import STUDY_UID

from dicom_node.console.application import documented
from dicom_node.console.routes import PUBLIC, ROLE
from dicom_node.sign_in.roles import Role
from dicom_node.spool.draining import end_draining

BY_PROVIDER = {"/sign-in/oidc", "/sign-in/oidc/back"}
OPEN = {"/sign-in", "/static/{name}", "/healthz", "/readyz"} | BY_PROVIDER
"""What nobody needs to sign in for; nothing of it is about a patient."""

DOCUMENT = documented()
OPERATIONS = [
    (method.upper(), path, operation[ROLE])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
CALLERS: list[Role | None] = [None, *Role]
VALUES = {
    "study": f"{STUDY_UID}.404",
    "instance": f"{STUDY_UID}.404",
    "size": "small",
    "action": "retry",
    "name": "nobody",
    "cause": "none",
    "number": "7",
    "kind": "html",
}


def address(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def test_document_holds_every_route() -> None:
    from dicom_node.console.api import API
    from dicom_node.console.views import VIEWS

    routes = [route for part in (*VIEWS, *API) for route in part.routes.router.routes]

    assert len(OPERATIONS) == len(routes) + 1  # the static files
    assert {path for _, path, role in OPERATIONS if role == PUBLIC} == OPEN


@pytest.mark.parametrize(("method", "path", "needed"), OPERATIONS)
def test_route_lets_in_its_roles_and_nobody_else(
    served: Served, method: str, path: str, needed: str
) -> None:
    end_draining(served.spool.root)  # which one of the routes begins
    for caller in CALLERS:
        if path == "/api/canary" and caller is not None and caller.holds(Role(needed)):
            continue  # it would send one, and wait for minutes
        answer = served.ask(method, address(path), caller)

        is_let_in = needed == PUBLIC or (caller is not None and caller.holds(Role(needed)))
        is_page = answer.headers.get("location", "").startswith("/sign-in")
        refused = answer.status_code in {401, 403} or (answer.status_code == 303 and is_page)
        if path == "/sign-in" or path in BY_PROVIDER:
            refused = False  # whoever gives no name is told so, and asked again
        assert refused != is_let_in, (method, path, caller, answer.status_code)
        assert answer.status_code != 500, (method, path, caller, answer.text)


@pytest.mark.parametrize(("method", "path", "needed"), OPERATIONS)
def test_answers_to_nobody_hold_nothing_about_patients(
    served: Served, method: str, path: str, needed: str
) -> None:
    del needed
    answer = served.ask(method, address(path).replace(".404", ""))

    assert "no-store" in answer.headers["Cache-Control"] or path.startswith("/static")
    assert not [word for word in ("Quellwasser", "KLINIK", "A-2026") if word in answer.text]


def test_document_is_given_to_whoever_is_signed_in(served: Served) -> None:
    assert served.get("/api/openapi.json").status_code == 401

    document: dict[str, Any] = served.get("/api/openapi.json", Role.VIEWER).json()

    assert json.dumps(document["paths"]) == json.dumps(DOCUMENT["paths"])
