"""Routes that cannot be made without saying who may use them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from dicom_node.console.access import needs
from dicom_node.sign_in.roles import Role

ROLE: Final = "x-role"
"""Key of the OpenAPI document that holds the role which an operation needs, or ``public``."""
PUBLIC: Final = "public"

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Routes:
    """Collects the routes of one view or one part of the API.

    Parameters
    ----------
    tag : heading in the OpenAPI document
    pages : whether the answers are pages for people
    """

    def __init__(self, tag: str, *, pages: bool = False) -> None:
        self.router = APIRouter(tags=[tag])
        self._pages = pages

    def get(self, path: str, role: Role | None, **options: Any) -> Callable[[Handler], Handler]:
        """Return the decorator of a function that only reads."""
        return self._add(["GET"], path, role, options)

    def post(self, path: str, role: Role | None, **options: Any) -> Callable[[Handler], Handler]:
        """Return the decorator of a function that changes something, or hides what it is asked."""
        return self._add(["POST"], path, role, options)

    def delete(self, path: str, role: Role | None, **options: Any) -> Callable[[Handler], Handler]:
        """Return the decorator of a function that removes something."""
        return self._add(["DELETE"], path, role, options)

    def _add(
        self, methods: Sequence[str], path: str, role: Role | None, options: dict[str, Any]
    ) -> Callable[[Handler], Handler]:
        if self._pages:
            options.setdefault("response_class", HTMLResponse)
        options.setdefault("response_model", None)
        guards = [] if role is None else [Depends(needs(role))]

        def add(handler: Handler) -> Handler:
            self.router.add_api_route(
                path,
                handler,
                methods=list(methods),
                dependencies=guards,
                openapi_extra={ROLE: PUBLIC if role is None else role.value},
                **options,
            )
            return handler

        return add
