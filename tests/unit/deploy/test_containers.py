"""The files for containers: their own tools take them, and they start what the units start."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicom_node.settings.reading import load_settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
BASE = DEPLOY / "kubernetes/base"
UNITS = DEPLOY / "systemd/system"
PROGRAMS = {"node": "node", "analysis": "analysis", "delivery": "delivery"}
"""Containers of our own image by the unit of systemd that does the same."""


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def unit_line(name: str, key: str) -> str:
    text = (UNITS / f"mammoclip-{name}.service").read_text(encoding="utf-8")
    found = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
    assert found is not None
    return found[1].replace("%%", "%")


def command_of_unit(name: str) -> list[str]:
    program, *rest = shlex.split(unit_line(name, "ExecStart"))
    return [Path(program).name, *rest]


def seconds(duration: str) -> int:
    """Return the seconds of a duration as compose writes it, such as 1m30s."""
    parts = re.findall(r"(\d+)([hms])", duration)
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of deploy with the passwords that the script makes."""
    copy = tmp_path_factory.mktemp("site") / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    run(str(copy / "compose/secrets.sh"))
    return copy


@pytest.fixture(scope="session")
def services(folder: Path) -> dict[str, Any]:
    """Return the services of compose.yaml as its own tool reads them."""
    compose = str(Path(sys.executable).parent / "docker-compose")
    done = run(
        compose,
        "--file",
        str(folder / "compose.yaml"),
        "--profile=*",
        "config",
        "--format=json",
    )
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.fixture(scope="session")
def manifests() -> list[dict[str, Any]]:
    """Return the objects of the base, once the schemas of Kubernetes have taken them."""
    base = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    files = [BASE / name for name in base["resources"]]
    validate = str(Path(sys.executable).parent / "kubernetes-validate")
    run(validate, "--strict", "--kubernetes-version", "1.31", *map(str, files))
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def pod(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [one for one in manifests if one["kind"] == "StatefulSet"]
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_dockerfile_has_nothing_that_its_linter_minds() -> None:
    run(str(Path(sys.executable).parent / "hadolint"), str(DEPLOY / "containers/Dockerfile"))


def test_image_holds_what_is_installed_and_neither_data_nor_secrets() -> None:
    text = (DEPLOY / "containers/Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        for name in line.split()
    }

    assert {f"!{name}" for name in copied} == {one for one in ignored if one.startswith("!")}
    assert "*" in ignored
    assert all((ROOT / name).exists() for name in copied)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "--constraint constraints.txt" in text
    # What settings can switch on needs its libraries: nobody can add them to an image that runs.
    (extras,) = re.findall(r'"\.\[(.*)\]"', text)
    assert {"worker", "postgresql", "store", "oidc", "receipts", "parquet"} <= set(
        extras.split(",")
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_container_runs_what_the_unit_runs_and_has_its_time_to_end(
    services: dict[str, Any], manifests: list[dict[str, Any]], name: str
) -> None:
    (container,) = [one for one in pod(manifests)["containers"] if one["name"] == name]
    expected = command_of_unit(name)

    assert services[name]["command"] == container["args"] == expected
    grace = seconds(services[name]["stop_grace_period"])
    assert grace >= int(unit_line(name, "TimeoutStopSec"))
    assert pod(manifests)["terminationGracePeriodSeconds"] >= grace


def test_worker_with_a_gpu_differs_by_the_gpu_alone(services: dict[str, Any]) -> None:
    usual, gpu = services["analysis"], services["analysis-gpu"]
    differing = {key for key in usual | gpu if usual.get(key) != gpu.get(key)}

    assert differing == {"profiles", "image", "build", "deploy", "shm_size"}


@pytest.mark.parametrize("name", [*PROGRAMS, "analysis-gpu"])
def test_container_may_touch_the_spool_alone(services: dict[str, Any], name: str) -> None:
    service = services[name]
    written = [one["target"] for one in service["volumes"] if not one.get("read_only")]

    assert service["user"] == "10001:10001"
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert written == ["/var/lib/mammoclip/spool"]


def test_containers_of_a_pod_may_touch_the_spool_alone(manifests: list[dict[str, Any]]) -> None:
    containers = pod(manifests)["containers"]

    assert pod(manifests)["securityContext"]["runAsNonRoot"]
    for one in containers:
        written = {mount["name"] for mount in one["volumeMounts"] if not mount.get("readOnly")}
        assert written == {"spool", "tmp"}
        assert one["securityContext"]["readOnlyRootFilesystem"]
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_other_machines_reach_the_dicom_port_alone(services: dict[str, Any]) -> None:
    open_to_all = [
        port["target"]
        for service in services.values()
        for port in service.get("ports", [])
        if port.get("host_ip") != "127.0.0.1"
    ]

    assert open_to_all == [11112]


def test_images_of_others_are_of_a_stated_version(services: dict[str, Any]) -> None:
    loose = [
        one["image"]
        for one in services.values()
        if not re.search(r":v?\d+\.\d+|^mammoclip:", one["image"])
    ]

    assert loose == []


@pytest.mark.parametrize("file", [DEPLOY / "compose/mammoclip.toml", BASE / "mammoclip.toml"])
def test_settings_of_the_containers_are_valid(folder: Path, tmp_path: Path, file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("/run/secrets", str(folder / "compose/secrets"))
    settings_file = tmp_path / "mammoclip.toml"
    settings_file.write_text(text)

    settings = load_settings(settings_file)

    assert str(settings.spool) == "/var/lib/mammoclip/spool"
    assert settings.receive.port == 11112


def test_passwords_are_made_once_and_nobody_else_can_enter_their_folder(folder: Path) -> None:
    secrets = folder / "compose/secrets"
    before = {one.name: one.read_bytes() for one in secrets.iterdir()}

    run(str(folder / "compose/secrets.sh"))

    assert {one.name: one.read_bytes() for one in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert len(set(before.values())) == len(before)
    assert before["broker_password"].decode() in before["broker_url"].decode()
    assert not any(re.search(rb"password|changeme", one) for one in before.values())


def test_every_secret_of_compose_is_made_by_the_script(folder: Path) -> None:
    named = set(re.findall(r"file: \./compose/secrets/([\w.]+)", COMPOSE.read_text()))

    assert named <= {one.name for one in (folder / "compose/secrets").iterdir()}


def test_pages_make_a_site_without_a_broken_link(tmp_path: Path) -> None:
    run(
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--quiet",
        "--doctree-dir",
        str(tmp_path / "doctrees"),
        str(ROOT / "docs"),
        str(tmp_path / "site"),
    )
    page = (tmp_path / "site/install.html").read_text(encoding="utf-8")

    assert "Install a permanent node" in page
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", page)
    assert loaded == []
