"""People and programs before the console of a node."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from node_factory import NOW, Reception
from ports import free_port
from services import wait_for

from dicom_node.serving.child_server import ChildServer
from dicom_node.settings.settings import Settings
from dicom_node.sign_in.accounts import add_account
from dicom_node.sign_in.roles import Role
from dicom_node.sign_in.tokens import add_token
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


@contextmanager
def serving(
    folder: Path, empty_ledger: Path, fill: Callable[[Reception], object], **console: Any
) -> Iterator[Served]:
    """Run a console with an account and a token of each role, before what `fill` enters.

    Sign-in by a provider (`oidc`) is offered under the address that the console gets.
    """
    port = free_port()
    if "oidc" in console:
        console["oidc"] = {"address": f"http://127.0.0.1:{port}", **console["oidc"]}
    spool = Spool(folder / "spool")
    shutil.copy(empty_ledger, spool.root / "ledger.sqlite")
    settings = Settings(
        spool=spool.root,
        receive={"port": free_port(), "minimum_free_bytes": 1},
        console={
            "enabled": True,
            "port": port,
            "analyze_wait_seconds": 0,
            "maximum_upload_bytes": 5_000_000,
            **console,
        },
        destinations=[
            {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": free_port()}
        ],
    )
    database = Database(settings.ledger_url)
    fill(Reception(spool, database))
    tokens = {}
    with database.writing() as session:
        for role in Role:
            add_account(session, role.value, role, PASSWORD, at=NOW)
            tokens[role] = add_token(session, f"{role} program", role, expires_at=None, at=NOW)
    module = "dicom_node.console.web_process"
    server = ChildServer(settings.console, section="console", module=module, order=settings)
    server.start()
    url = f"http://127.0.0.1:{settings.console.port}"
    try:
        wait_for(lambda: _answers(url), seconds=90, what="the console answers")
        yield Served(url=url, settings=settings, database=database, spool=spool, tokens=tokens)
    finally:
        server.stop()
        database.close()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False
