"""``make sbom`` names every library that an installation holds, in its version."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from documents import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_bill_of_materials_names_every_locked_library(tmp_path: Path) -> None:
    for name in ("Makefile", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    subprocess.run(["make", "sbom"], cwd=tmp_path, check=True, capture_output=True)

    bill = json.loads((tmp_path / "build" / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    locked = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    assert len(locked) > 50
    assert {(one["name"].lower(), one["version"]) for one in bill["components"]} >= {
        (name.lower(), version) for name, version in locked
    }
