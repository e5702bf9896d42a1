"""The documents name everything that a person may meet."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from dicom_node.commands import node
from dicom_node.facts.selection import LEFT_OUT_REASONS, MISSING_REASONS
from dicom_node.receive.listener import STATUS_OF
from mammoclip_core.commands import predict
from training.commands import train

COMMANDS = {
    "mammoclip-node": node.app,
    "mammoclip-predict": predict.app,
    "mammoclip-train": train.app,
}

ROOT = Path(__file__).parents[3]
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text()
REASONS = sorted(
    {
        reason
        for path in (ROOT / "dicom_node").rglob("*.py")
        for reason in re.findall(r'SetAsideError\(\s*"([a-z-]+)"', path.read_text())
    }
)


def test_reasons_are_found_in_the_source():
    assert set(REASONS) >= MISSING_REASONS | LEFT_OUT_REASONS | {"unreadable-object"}


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_to_set_aside_is_explained(reason):
    assert f"| `{reason}` |" in TROUBLESHOOTING


def test_no_reason_is_explained_that_does_not_exist():
    section = TROUBLESHOOTING.split("## An object was set aside")[1].split("\n## ")[0]

    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == set(REASONS)


@pytest.mark.parametrize("status", STATUS_OF.values())
def test_every_failure_status_is_explained(status):
    assert f"**0x{status:04X}**" in TROUBLESHOOTING


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], ids=str)
def test_links_lead_to_files(path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text())

    missing = [target for target in targets if not (path.parent / target).exists()]

    assert not missing


def code_of(path: Path) -> str:
    """Return what a document sets as code, in lines or in a sentence."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *re.findall(r"`[^`\n]+`", rest)])


DOCUMENTS = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
    if path.name not in {"CHANGELOG.md", "modules.md"}
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(path):
    named = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", code_of(path), re.MULTILINE)
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(named) <= set(made)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("program", COMMANDS)
def test_commands_exist(path, program):
    named = re.findall(rf"\b{program} ([a-z][a-z-]+)(?=[\s`])", code_of(path))

    assert set(named) <= set(get_command(COMMANDS[program]).commands)
