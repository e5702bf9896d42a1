"""The recipe for pipx in docs/install.md: what it names is there, and it installs the programs."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def recipe() -> list[str]:
    """Return the words of the command, without the variables before it."""
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    found = re.search(r"pipx install (?:.|\\\n)*?\]'", text)
    assert found is not None
    return shlex.split(found[0].replace("\\\n", " "))


def test_recipe_names_what_is_there() -> None:
    *_, arguments, what = recipe()
    extras = re.search(r"\[(.*)\]", what)

    assert extras is not None
    assert set(extras[1].split(",")) <= PROJECT["optional-dependencies"].keys()
    assert (ROOT / Path(arguments.split()[-1]).name).is_file()
    assert {"mammoclip-node", "mammoclip-predict"} <= PROJECT["scripts"].keys()


def test_table_of_extras_is_that_of_the_project() -> None:
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z]+)` \| ", text.partition("| extra | for |")[2], re.MULTILINE)

    assert named[:5] == ["receipts", "oidc", "postgresql", "parquet", "store"]
    assert set(named[:5]) <= PROJECT["optional-dependencies"].keys()


def test_nobody_is_sent_to_an_index_that_has_no_such_package() -> None:
    sources = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    for package in ("dicom_node", "worker", "mammoclip_core", "training"):
        sources += (ROOT / package).rglob("*.py")

    wrong = [
        str(file.relative_to(ROOT))
        for file in sources
        if re.search(r"(pip|pipx) install[^\n]*mammoclip-dicom", file.read_text(encoding="utf-8"))
    ]

    assert wrong == []


@pytest.mark.long
def test_pipx_installs_the_programs_by_the_recipe(tmp_path: Path) -> None:
    python = tmp_path / "tools/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "tools"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "pipx"], check=True)
    source = str(ROOT)
    words = [one.replace("/opt/mammoclip", source) for one in recipe()]
    places = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}

    done = subprocess.run(
        [python, "-m", *words],
        env={**os.environ, **places},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    version = subprocess.run(
        [tmp_path / "bin/mammoclip-node", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )
    assert PROJECT["version"] in version.stdout
    assert (tmp_path / "home/venvs/mammoclip-dicom/bin/celery").exists()
