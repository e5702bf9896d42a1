"""The view *Settings*: what the node goes by, never edited here and without any secret."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from pydantic import BaseModel, SecretStr

from dicom_node.console.pages import Entry, page
from dicom_node.console.routes import Routes
from dicom_node.console.site import site_of
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.accounts import accounts
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.tokens import tokens

routes = Routes("settings", pages=True)
ENTRY = Entry("Settings", "/settings", Role.ADMIN)

HIDDEN = "(secret)"


@routes.get("/settings", Role.ADMIN)
def settings(request: Request) -> Any:
    """Show the settings, accounts and tokens."""
    site = site_of(request)
    with site.reading() as session:
        people, programs = accounts(session), tokens(session)
    return page(
        request,
        "settings.html",
        title="Settings",
        sections=list(sections_of(site.settings)),
        accounts=people,
        tokens=programs,
    )


def sections_of(settings: Settings) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each section of the settings with its values in words, secrets hidden."""
    plain = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield name, list(_lines(value))
        elif isinstance(value, dict):
            for key, entry in value.items():
                yield f"{name}.{key}", list(_lines(entry))
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for entry in value:
                yield f"[{name}]", list(_lines(entry))
        else:
            plain.append((name, _words(value)))
    yield "general", plain


def _lines(value: BaseModel) -> Iterator[tuple[str, str]]:
    for name in type(value).model_fields:
        entry = getattr(value, name)
        if isinstance(entry, BaseModel):
            for key, words in _lines(entry):
                yield f"{name}.{key}", words
        elif isinstance(entry, tuple) and entry and isinstance(entry[0], BaseModel):
            for number, one in enumerate(entry, 1):
                for key, words in _lines(one):
                    yield f"{name}[{number}].{key}", words
        else:
            yield name, _words(entry)


def _words(value: Any) -> str:
    if isinstance(value, SecretStr):
        return HIDDEN
    if value is None:
        return "(not set)"
    return value if isinstance(value, str) else json.dumps(value, default=str)
