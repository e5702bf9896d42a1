"""What becomes of bundle and settings under a running worker: no result says what is not so."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from celery.signals import celeryd_init
from small_bundles import small_random_bundle
from unit.dicom_node.node_factory import Reception
from worker_factory import due_analysis, run_analysis, shown_mammogram

from dicom_node.errors import SettingsError
from dicom_node.settings.rules import DEFAULT_BUNDLE
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.states import AnalysisState
from mammoclip_core.manifest import WEIGHTS_NAME, read_manifest, write_manifest
from worker import app as _app  # noqa: F401  connects what a worker does when it starts
from worker import runtime as runtime_module
from worker import settings_at_start
from worker.runtime import Runtime, runtime

TERMS = "Apache-2.0 demonstration use"

Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_random_bundle(tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture
def worker(tmp_path: Path, worker_ledger: Path, folder: Path) -> Iterator[Runtime]:
    """Return a worker's runtime with a real bundle, which it has not loaded yet."""
    (tmp_path / "spool").mkdir()
    shutil.copy(worker_ledger, tmp_path / "spool" / "ledger.sqlite")
    model = {"bundle": folder, "accept": TERMS, "engine": "torch"}
    node = Runtime(Settings(spool=tmp_path / "spool", model=model))
    yield node
    node.decoding.close()
    node.database.close()


@pytest.fixture
def received(worker: Runtime) -> Reception:
    return Reception(Spool(worker.settings.spool), worker.database)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def another_version(folder: Path) -> None:
    write_manifest(replace(read_manifest(folder), version="2"), folder)


def other_terms(folder: Path) -> None:
    write_manifest(replace(read_manifest(folder), permitted_use="research use only"), folder)


def put_whole(folder: Path, whole: Path) -> None:
    shutil.copy(whole / WEIGHTS_NAME, folder / WEIGHTS_NAME)


def test_bundle_that_replaced_a_broken_one_is_the_one_that_is_named(
    worker: Runtime, folder: Path, whole: Path
) -> None:
    cut(folder / WEIGHTS_NAME)
    assert worker.site.lasts()
    assert "altered or incomplete" in worker.site.in_words

    put_whole(folder, whole)
    another_version(folder)
    worker.site._look_at = 0

    assert not worker.site.lasts()
    model = worker.model(DEFAULT_BUNDLE)
    assert model.manifest.version == model.engine.manifest.version == "2"


def test_terms_of_a_bundle_that_replaced_a_broken_one_have_to_be_accepted(
    worker: Runtime, folder: Path, whole: Path
) -> None:
    cut(folder / WEIGHTS_NAME)
    assert worker.site.lasts()

    put_whole(folder, whole)
    other_terms(folder)
    worker.site._look_at = 0

    assert worker.site.lasts()
    assert "research use only" in worker.site.in_words


@pytest.mark.parametrize("change", [another_version, other_terms])
def test_bundle_that_is_replaced_while_it_is_loaded_is_not_used(
    worker: Runtime, folder: Path, change: Change
) -> None:
    _ = worker.manifest
    change(folder)

    assert worker.site.lasts()
    assert "was replaced while it was loaded" in worker.site.in_words


@pytest.mark.parametrize(
    "change",
    [
        another_version,
        shutil.rmtree,
        pytest.param(lambda folder: cut(folder / WEIGHTS_NAME), marks=pytest.mark.long),
    ],
    ids=["another version", "removed", "cut off"],
)
def test_result_names_the_bundle_that_made_it_whatever_lies_there_now(
    worker: Runtime, received: Reception, folder: Path, whole: Path, change: Change
) -> None:
    received.receive(shown_mammogram())
    _ = worker.engine
    change(folder)

    analysis = run_analysis(worker, due_analysis(received))

    was = read_manifest(whole)
    assert (analysis.state, analysis.reason) == (AnalysisState.DONE, "")
    assert analysis.bundle == f"{was.name} {was.version} {was.weights_sha256}"
    said = json.loads(analysis.findings)["bundle"]
    assert (said["version"], said["sha256"]) == (was.version, was.weights_sha256)


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a worker start with a settings file."""
    file = tmp_path / "mammoclip.toml"
    file.write_text(f'spool = "{tmp_path}/spool"\n[work]\nmaximum_attempts = 7\n')
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(file))
    monkeypatch.setattr(runtime_module, "_runtimes", {})
    monkeypatch.setattr(settings_at_start, "_kept", [])
    celeryd_init.send("worker@test")
    yield file


@pytest.mark.parametrize(
    "change",
    [Path.unlink, cut, lambda file: file.write_text('spool = "/elsewhere"\n')],
    ids=["removed", "cut off", "another"],
)
def test_process_that_begins_later_has_the_settings_that_the_worker_was_started_with(
    settings_file: Path, change: Change
) -> None:
    change(settings_file)

    assert runtime().settings.work.maximum_attempts == 7


def test_worker_does_not_start_without_settings(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOCLIP_CONFIG", str(settings_file.with_name("absent.toml")))

    with pytest.raises(SettingsError, match="not found"):
        settings_at_start.keep_settings()
