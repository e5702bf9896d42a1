"""What ``make up`` and ``make demo`` write and start on one machine."""

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from honcho.environ import parse_procfile
from services import wait_for
from started_processes import started_process

from deploy.archive import archive_command
from deploy.settings_file import Site, settings_text
from deploy.up import prepare
from dicom_node.settings.reading import load_settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def procfile():
    return parse_procfile((ROOT / "deploy/Procfile").read_text()).processes


def test_procfile_starts_each_process(procfile):
    assert list(procfile) == ["broker", "archive", "node", "worker", "delivery"]


def test_analyses_do_not_wait_for_deliveries(procfile):
    workers = [shlex.split(command) for command in procfile.values() if "celery" in command]
    queues = [words[words.index("--queues") + 1] for words in workers]
    names = {words[words.index("--hostname") + 1] for words in workers}

    assert sorted(queues) == ["deliver", "gpu"]
    assert len(names) == 2


@pytest.fixture
def celery_that(tmp_path):
    """Return a function that makes a program celery, which writes a line at each start."""

    def make(does: str) -> dict[str, str]:
        program = tmp_path / "celery"
        program.write_text(f'#!/bin/sh\necho started >> "{tmp_path}/starts"\n{does}\n')
        program.chmod(0o755)
        return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    return make


@pytest.mark.parametrize("name", ["worker", "delivery"])
def test_worker_that_ends_with_an_error_is_started_again(procfile, celery_that, tmp_path, name):
    environment = celery_that(f'test "$(wc -l < "{tmp_path}/starts")" -gt 1')

    done = subprocess.run(["sh", "-c", procfile[name]], env=environment, timeout=30, check=False)

    assert done.returncode == 0
    assert (tmp_path / "starts").read_text().count("started") == 2


@pytest.mark.parametrize("name", ["worker", "delivery"])
def test_worker_that_is_told_to_end_is_not_started_again(procfile, celery_that, tmp_path, name):
    environment = celery_that("trap 'exit 3' TERM; while :; do sleep 0.1; done")
    with started_process(["sh", "-c", procfile[name]], env=environment) as process:
        wait_for((tmp_path / "starts").exists, seconds=20, what="it is started")

        os.killpg(process.pid, signal.SIGTERM)  # as honcho does

        process.wait(20)
    assert (tmp_path / "starts").read_text().count("started") == 1


def test_modules_of_the_procfile_exist(procfile):
    commands = [shlex.split(command) for command in procfile.values()]
    modules = [words[words.index("-m") + 1] for words in commands if "-m" in words]

    assert modules
    assert all(importlib.util.find_spec(module) for module in modules)


def test_variables_of_the_procfile_are_set_by_up(procfile):
    used = set(re.findall(r"\$MAMMOCLIP_UP_(\w+)", " ".join(procfile.values())))

    assert used == {"FOLDER", "BROKER_PORT", "ARCHIVE_PORT", "HTTP_PORT"}


def test_settings_file_loads_with_the_values_of_the_site(tmp_path):
    path = tmp_path / "mammoclip.toml"
    path.write_text(settings_text(site(tmp_path)))

    settings = load_settings(path)

    assert settings.spool == tmp_path / "spool"
    assert (settings.receive.host, settings.receive.port) == ("127.0.0.1", 11113)
    assert settings.broker.url.get_secret_value() == "redis://127.0.0.1:1234/0"
    assert settings.model.accept == "Apache-2.0 demonstration use"
    assert [(one.name, one.port) for one in settings.destinations] == [("archive", 4321)]


def test_settings_file_keeps_the_comments_of_the_default_file(tmp_path):
    assert settings_text(site(tmp_path)).count("#") > 10


def test_up_listens_for_scanners_on_every_network(tmp_path):
    prepare(tmp_path)

    settings = load_settings(tmp_path / "mammoclip.toml")

    assert (settings.receive.host, settings.receive.port) == ("0.0.0.0", 11112)


def test_second_start_of_up_keeps_ports_for_an_edited_settings_file(tmp_path):
    ports = prepare(tmp_path)
    config = tmp_path / "mammoclip.toml"
    config.write_text("edited")

    assert prepare(tmp_path) == ports
    assert config.read_text() == "edited"


def test_orthanc_is_reached_from_this_machine_only(tmp_path, monkeypatch):
    program = tmp_path / "Orthanc"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    command = prepare_archive(tmp_path)

    config = json.loads(Path(command[1]).read_text())
    assert config["RemoteAccessAllowed"] is False
    assert Path(config["StorageDirectory"]).is_absolute()


def test_edited_configuration_of_the_archive_is_left_as_it_is(tmp_path, monkeypatch):
    program = tmp_path / "Orthanc"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    config = Path(prepare_archive(tmp_path)[-1])
    config.write_text("edited")

    prepare_archive(tmp_path)

    assert config.read_text() == "edited"


def test_small_archive_takes_the_place_of_orthanc(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMOCLIP_DEMO_ARCHIVE", "small")

    command = prepare_archive(tmp_path)

    assert Path(command[1]).name == "small_archive.py"
    assert "qrscp" not in " ".join(command)


def prepare_archive(folder):
    return archive_command(
        folder / "archive", dicom_port=4242, http_port=8042, node_port=11112, peers=("DEMO",)
    )


def site(folder):
    return Site(
        spool=folder / "spool",
        listen_on="127.0.0.1",
        port=11113,
        broker_url="redis://127.0.0.1:1234/0",
        archive_port=4321,
        idle_seconds=5,
        grace_seconds=1,
    )
