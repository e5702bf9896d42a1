"""A PostgreSQL server of the tests' own, from Debian's package, with as many databases as asked."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, run

import pytest
from services import Service, missing, wait_for

_UNPRIVILEGED = "nobody"
"""Who the server runs as where the tests run as root, whom it refuses."""


class PostgreSQL(Service):
    """A server on a socket in a folder of its own, without a port."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self._numbers = itertools.count(1)
        # Statistics are gathered by the tests that mean it. By itself the server would do so at any
        # moment, and choose other plans from then on.
        options = ["listen_addresses=", "fsync=off", "autovacuum=off", "max_connections=60"]
        command = [*self._as_user(), str(programs / "postgres"), "-D", str(folder / "data")]
        command += ["-k", str(folder), *(part for one in options for part in ("-c", one))]
        super().__init__("postgresql", command, folder / "postgresql.log")

    def start(self) -> "PostgreSQL":
        data = self.folder / "data"
        if not data.is_dir():
            data.mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(self.folder, _UNPRIVILEGED)
                shutil.chown(data, _UNPRIVILEGED)
            make = [str(self.programs / "initdb"), "-D", str(data), "-U", "node", "-A", "trust"]
            make += ["-E", "UTF8", "--no-locale", "--no-sync"]
            run([*self._as_user(), *make], check=True, stdout=DEVNULL, cwd=self.folder)
        super().start()
        wait_for(self._answers, seconds=60, what="PostgreSQL answers")
        return self

    def new_database(self, template: str = "template1") -> str:
        """Make a database and return its SQLAlchemy URL."""
        name = f"ledger_{next(self._numbers)}"
        program = str(self.programs / "createdb")
        where = ["-h", str(self.folder), "-U", "node"]
        run([program, *where, "-T", template, name], check=True)
        return f"postgresql+psycopg://node@/{name}?host={self.folder}"

    def _answers(self) -> bool:
        self.require_alive()
        ready = [str(self.programs / "pg_isready"), "-h", str(self.folder), "-U", "node"]
        return run(ready, check=False, stdout=DEVNULL).returncode == 0

    @staticmethod
    def _as_user() -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid", _UNPRIVILEGED, "--regid", "nogroup", "--clear-groups"]


@contextmanager
def stopped_postgresql() -> Iterator[PostgreSQL]:
    """Make a server until the block ends; missing programs are a failure in CI, else a skip."""
    programs = _programs()
    if programs is None:
        missing("PostgreSQL is not installed: 'make test' as root installs it on Debian")
    # The path of a socket may have 107 bytes: pytest's own folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgreSQL(folder, programs)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """Run a server until the block ends."""
    with stopped_postgresql() as server:
        yield server.start()


def _programs() -> Path | None:
    installed = shutil.which("initdb")
    if installed is not None:
        return Path(installed).resolve().parent
    # Debian keeps the server's programs off the PATH, a folder for each version.
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """Return a running server, started at the first test that asks for it."""
    with running_postgresql() as server:
        yield server
