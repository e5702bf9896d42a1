"""The documents name everything that a person may meet."""

import re
from pathlib import Path

import pytest

from dicom_node.facts.selection import LEFT_OUT_REASONS, MISSING_REASONS
from dicom_node.receive.listener import STATUS_OF

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
