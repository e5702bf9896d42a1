"""The console's own style sheet and script, from the package."""

from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from fastapi import Request
from fastapi.responses import Response

from dicom_node.console.routes import Routes

routes = Routes("static")

_TYPES: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@routes.get("/static/{name}", None, response_class=Response)
def static(_request: Request, name: Literal["console.css", "console.js", "icon.svg"]) -> Any:
    """Return one of the files by its name; there is no way to any other."""
    headers = {"Cache-Control": "public, max-age=300"}
    return Response(_content(name), media_type=_TYPES[name], headers=headers)


@cache
def _content(name: str) -> bytes:
    return resources.files("dicom_node.console").joinpath("static", name).read_bytes()
