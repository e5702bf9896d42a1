"""Simulations on both databases, each opened at the first test that asks for it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql import postgresql
from simulation import Simulation, simulation

__all__ = ["postgresql"]


@pytest.fixture(scope="session")
def folder_in_memory() -> Iterator[Path]:
    """Return a folder on a file system in memory, where there is one: nothing waits for a disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def simulated(request: pytest.FixtureRequest, folder_in_memory: Path) -> Iterator[Simulation]:
    """Return a simulation on the database that a test is parametrised with; SQLite by default."""
    if getattr(request, "param", "sqlite") == "sqlite":
        url = f"sqlite:///{folder_in_memory}/ledger.sqlite"
    else:
        url = request.getfixturevalue("postgresql").new_database()
    with simulation(url, folder_in_memory) as opened:
        yield opened
