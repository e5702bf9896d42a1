"""People and programs before the console of a node."""

import re
from dataclasses import dataclass
from typing import Any

import requests

from dicom_node.settings.settings import Settings
from dicom_node.sign_in.roles import Role
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

ACCESSION = "A-2026-0417"
PASSWORD = "three small words of ours"
"""That of the accounts viewer, operator and admin."""


@dataclass
class Served:
    """A console that runs in its own process, and what is behind it."""

    url: str
    settings: Settings
    database: Database
    spool: Spool
    tokens: dict[Role, str]

    def get(self, path: str, role: Role | None = None, **options: Any) -> requests.Response:
        return self.ask("GET", path, role, **options)

    def ask(
        self, method: str, path: str, role: Role | None = None, **options: Any
    ) -> requests.Response:
        """Ask as a program of a role, or as nobody."""
        headers = dict(options.pop("headers", {}))
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return requests.request(
            method,
            f"{self.url}{path}",
            headers=headers,
            timeout=30,
            allow_redirects=False,
            **options,
        )

    def person(self, name: str, password: str = PASSWORD) -> "Person":
        """Sign in."""
        session = requests.Session()
        answer = session.post(
            f"{self.url}/sign-in",
            data={"name": name, "password": password},
            allow_redirects=False,
            timeout=30,
        )
        return Person(url=self.url, session=session, answer=answer)


@dataclass
class Person:
    """Somebody with a browser that keeps cookies."""

    url: str
    session: requests.Session
    answer: requests.Response

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(f"{self.url}{path}", timeout=30, allow_redirects=False, **options)

    def post(self, path: str, *, csrf: str | None = None, **options: Any) -> requests.Response:
        """Send a form with the token of a page, or another one."""
        data = {"csrf": self.form_token() if csrf is None else csrf, **options.pop("data", {})}
        return self.session.post(
            f"{self.url}{path}", data=data, timeout=30, allow_redirects=False, **options
        )

    def form_token(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/pauses").text)
        assert found, "every page of a person who is signed in has one"
        return found[1]
