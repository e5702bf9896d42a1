"""The unit files for systemd: it takes them, and they start what ``make up`` starts."""

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from honcho.environ import parse_procfile
from services import require_program

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = DEPLOY / "systemd/system"
ACCOUNT = DEPLOY / "systemd/sysusers.d/mammoclip.conf"
SERVICES = {
    "mammoclip-node": "node",
    "mammoclip-analysis": "worker",
    "mammoclip-delivery": "delivery",
}


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((UNITS / f"{name}.service").read_text())
    return parser


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a system on which the units and their programs are installed."""
    folder = tmp_path_factory.mktemp("root")
    programs = folder / "opt/mammoclip/.venv/bin"
    programs.mkdir(parents=True)
    for name in ("mammoclip-node", "celery"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    installed = folder / "etc/systemd/system"
    installed.mkdir(parents=True)
    for file in UNITS.glob("mammoclip*"):
        (installed / file.name).write_bytes(file.read_bytes())
    # The units of systemd itself, such as network-online.target, which ours come after
    shutil.copytree("/usr/lib/systemd/system", folder / "usr/lib/systemd/system", symlinks=True)
    return folder


@pytest.mark.parametrize("name", [*(f"{one}.service" for one in SERVICES), "mammoclip.target"])
def test_systemd_has_nothing_against_a_unit(root: Path, name: str) -> None:
    command = [require_program("systemd-analyze"), f"--root={root}", "--man=no", "verify", name]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "mammoclip" in line] == []


@pytest.mark.parametrize("name", SERVICES)
def test_unit_gives_its_process_little_to_touch(name: str) -> None:
    """10 is a process that may do everything."""
    command = [require_program("systemd-analyze"), "security", "--offline=true", "--no-pager"]
    command += ["--threshold=20", str(UNITS / f"{name}.service")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "process"), SERVICES.items())
def test_unit_starts_what_make_up_starts(name: str, process: str) -> None:
    commands = parse_procfile((DEPLOY / "Procfile").read_text()).processes
    line = unit(name)["Service"]["ExecStart"].replace("%%", "%")
    program, *arguments = shlex.split(line)

    assert Path(program).parent == Path("/opt/mammoclip/.venv/bin")
    typed = shlex.join([Path(program).name, *arguments])
    assert re.search(rf"(exec|until) {re.escape(typed)}( |$)", commands[process])


@pytest.mark.parametrize("name", SERVICES)
def test_every_unit_is_of_one_account_and_reads_one_settings_file(name: str) -> None:
    service = unit(name)["Service"]

    assert (service["User"], service["Group"]) == ("mammoclip", "mammoclip")
    assert service["Environment"] == "MAMMOCLIP_CONFIG=/etc/mammoclip/mammoclip.toml"
    # The first signal goes to the main process alone: it lets the others finish.
    assert service["KillMode"] == "mixed"


def test_the_account_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    command = [require_program("systemd-sysusers"), f"--root={tmp_path}"]

    done = subprocess.run([*command, str(ACCOUNT)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "mammoclip:" in (tmp_path / "etc/passwd").read_text()
