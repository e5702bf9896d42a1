"""What the worker's tests share: an installation in a folder, and a runtime without a model."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from unit.dicom_node.node_factory import Reception
from worker_factory import StandInEngine, stand_in_manifest

from dicom_node.canary import phantom
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from worker import tasks
from worker.runtime import Runtime


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def small_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the images that test a worker as small as those of a canary study."""
    monkeypatch.setattr(phantom, "TIMES", 1)


@pytest.fixture(scope="session")
def worker_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty ledger of the present schema, to be copied: migrating takes its time."""
    file = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    database.close()
    return file


@pytest.fixture(scope="session")
def decoding() -> Iterator[DecodingPool]:
    """Return processes that decode for all tests: to start one takes longer than most tests."""
    with DecodingPool() as pool:
        yield pool


@pytest.fixture
def runtime_with(
    tmp_path: Path, worker_ledger: Path, decoding: DecodingPool
) -> Iterator[Callable[..., Runtime]]:
    """Return a runtime of some settings; its engine is a stand-in, so no torch is loaded."""
    made: list[Runtime] = []
    (tmp_path / "spool").mkdir()
    shutil.copy(worker_ledger, tmp_path / "spool" / "ledger.sqlite")

    def build(**settings: Any) -> Runtime:
        node = Runtime(Settings(spool=tmp_path / "spool", **settings))
        node.engine = StandInEngine()
        node.manifest = stand_in_manifest()
        node.decoding = decoding
        made.append(node)
        return node

    yield build
    for node in made:
        node.database.close()


@pytest.fixture
def node(runtime_with: Callable[..., Runtime]) -> Runtime:
    return runtime_with()


@pytest.fixture
def reception(node: Runtime) -> Reception:
    """Return the registrar of the same installation."""
    return Reception(Spool(node.settings.spool), node.database)


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        # A command that the test runs in this process sets up the log, and would end the list.
        monkeypatch.setattr(structlog, "configure", lambda **_: None)
        yield lines


@pytest.fixture
def own_tasks(node: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of the tasks, which do their work in `node` and do not sleep."""
    file = tmp_path / "mammoclip.toml"
    file.write_text('spool = "spool"\n')
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    monkeypatch.setattr(tasks, "runtime", lambda: node)
    monkeypatch.setattr(node.site, "sleep", lambda _: None)
    return tasks
