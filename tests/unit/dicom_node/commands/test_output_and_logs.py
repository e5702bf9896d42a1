"""Commands print their answer alone on standard output; what they log goes elsewhere."""

import subprocess
import sys
from pathlib import Path

from licensed_bundle import WORDS, write_bundle

SETTINGS = """
spool = "spool"
[receive]
minimum_free_bytes = 1
[model]
bundle = "bundle"
accept = "{words}"
[broker]
url = "redis://127.0.0.1:1/0"
"""


def test_check_prints_its_list_and_logs_elsewhere(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    (tmp_path / "mammoclip.toml").write_text(SETTINGS.format(words=WORDS))

    done = subprocess.run(
        [sys.executable, "-m", "dicom_node.commands.node", "check", "--before-start"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    kinds = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert set(kinds) <= {"ok", "WARN", "FAIL", "note"}, done.stdout
    assert done.stderr == "", "in a terminal it would stand amid the list"


def test_what_any_command_logs_goes_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "mammoclip.toml").write_text('spool = "spool"\n')
    command = (
        "import structlog; from dicom_node.commands.terminal import settings_of\n"
        "settings_of(None); structlog.get_logger('any').warning('said_on_the_way')"
    )

    done = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert (done.stdout, "said_on_the_way" in done.stderr) == ("", True)
