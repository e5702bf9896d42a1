"""The console as an ASGI application: all views and the API behind one guard."""

from importlib.metadata import version
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from dicom_node.console import static_files
from dicom_node.console.access import ForeignRequestError, NotAllowedError, SignInNeededError
from dicom_node.console.api import API
from dicom_node.console.guarding import Guard, TooLargeError
from dicom_node.console.pages import page
from dicom_node.console.site import Site
from dicom_node.console.views import ENTRIES, VIEWS
from dicom_node.console.views.sign_in import sign_in_path
from dicom_node.console.views.study import NoSuchObjectError
from dicom_node.errors import NodeError, UnknownStudyError
from dicom_node.pictures import NoPictureError
from dicom_node.sign_in.attempts import TooManyAttemptsError
from dicom_node.spool.files.disk_trouble import is_disk_full
from dicom_node.spool.open_associations import NoPlaceError

log = structlog.get_logger("dicom_node.console")

_PROGRAMS: Final = ("/api/", "/metrics", "/healthz", "/readyz", "/static/")
_STATUS_OF: Final[dict[type[NodeError], int]] = {
    SignInNeededError: 401,
    NotAllowedError: 403,
    ForeignRequestError: 403,
    UnknownStudyError: 404,
    NoSuchObjectError: 404,
    NoPictureError: 404,
    TooManyAttemptsError: 429,
    NoPlaceError: 503,
}
"""HTTP statuses of errors; of any other it is 409: what was asked for cannot be done."""


_FULL: Final = (
    "A disk of the node's machine is full: free room there; 'mammoclip-node check' says how much "
    "is left, and what the retention frees"
)


def application_of(site: Site) -> Guard:
    """Return the application for one node."""
    app = _application()
    app.state.site = site
    console = site.settings.console
    return Guard(
        app,
        names=console.host_names,
        longest_bytes=console.maximum_upload_bytes,
        is_secure=console.tls,
    )


def documented() -> dict[str, Any]:
    """Return the OpenAPI document of all routes, each with the role that it needs."""
    return _application().openapi()


def _application() -> FastAPI:
    app = FastAPI(
        title="mammoclip-node",
        version=version("mammoclip-dicom"),
        description="Console and REST API. Research use only: not a medical device.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.entries = ENTRIES
    for part in (*VIEWS, *API, static_files):
        app.include_router(part.routes.router)
    for error, handler in (
        (NodeError, _refused),
        (RequestValidationError, _unreadable),
        (HTTPException, _not_there),
        (SQLAlchemyError, _ledger_down),
        (TooLargeError, _too_large),
        (Exception, _failed),
    ):
        app.add_exception_handler(error, handler)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, NodeError)
    if is_disk_full(error):
        return _full(f"{error}. {_FULL}")
    status = next((code for kind, code in _STATUS_OF.items() if isinstance(error, kind)), 409)
    if status == 401 and not _is_program(request):
        return RedirectResponse(sign_in_path(request), status_code=303)
    answer = _problem(request, status, str(error), error.reason)
    if status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Without the values, which may be about a patient.
    words = "; ".join(
        f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()
    )
    is_address = all(one["loc"][0] == "path" for one in error.errors())
    return _problem(request, 404 if is_address else 422, words, "wrong-request")


def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if is_disk_full(error):  # while the body was read, which is kept in a file
        return _full(_FULL)
    return _problem(request, error.status_code, str(error.detail), "wrong-address")


def _ledger_down(request: Request, error: Exception) -> Response:
    if is_disk_full(error):
        return _full(_FULL)
    log.error("ledger_down", reason=type(error).__name__)
    words = "the ledger does not answer: try again in a moment"
    return JSONResponse({"error": words, "reason": "ledger-down"}, status_code=503)


def _too_large(request: Request, _error: Exception) -> Response:
    return _problem(request, 413, "the body is too large", "too-large")


def _failed(_request: Request, error: Exception) -> Response:
    if is_disk_full(error):
        return _full(_FULL)
    log.error("request_failed", reason=type(error).__name__, exc_info=True)
    words = "the node could not answer; its log says why"
    return JSONResponse({"error": words, "reason": "failed"}, status_code=500)


def _full(words: str) -> Response:
    log.error("request_failed", reason="disk-full")
    # Not as a page: that is of somebody who is signed in, whom the ledger may not tell now.
    return JSONResponse({"error": words, "reason": "disk-full"}, status_code=507)


def _problem(request: Request, status: int, words: str, reason: str) -> Response:
    if _is_program(request):
        return JSONResponse({"error": words, "reason": reason}, status_code=status)
    answer: Any = page(
        request,
        "problem.html",
        title="Not done",
        status=status,
        words=words,
        back=request.url.path if request.method == "GET" else "/",
    )
    return answer  # type: ignore[no-any-return]


def _is_program(request: Request) -> bool:
    return request.url.path.startswith(_PROGRAMS)
