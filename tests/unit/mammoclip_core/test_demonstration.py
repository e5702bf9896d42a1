import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mammoclip_core.bundle import load_engine
from mammoclip_core.demonstration import (
    WARNING,
    demonstration_bundle,
    make_demonstration_bundle,
)
from mammoclip_core.findings import ImageFindings
from mammoclip_core.manifest import read_manifest
from mammoclip_core.requests import request_from

MAKE = (
    "from mammoclip_core.demonstration import demonstration_bundle; print(demonstration_bundle())"
)


def test_two_runs_give_the_same_weights(demonstration: Path, tmp_path: Path) -> None:
    manifest = make_demonstration_bundle(tmp_path)

    assert manifest.weights_sha256 == read_manifest(demonstration).weights_sha256


def test_manifest_says_that_nothing_was_trained(demonstration: Path) -> None:
    manifest = read_manifest(demonstration)

    assert manifest.warning == WARNING
    assert manifest.version.endswith("untrained")
    assert manifest.acceptance == "Apache-2.0 demonstration use"


def test_prompts_have_unit_length(demonstration: Path) -> None:
    for embeddings in load_file(demonstration / "prompts.safetensors").values():
        assert embeddings.norm(dim=1).tolist() == pytest.approx([1.0] * len(embeddings), abs=1e-4)


def test_bundle_is_made_once_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    folder = demonstration_bundle()

    written_at = (folder / "bundle.json").stat().st_mtime_ns
    assert folder.parent == tmp_path / "mammoclip"
    assert demonstration_bundle() == folder
    assert (folder / "bundle.json").stat().st_mtime_ns == written_at


def test_two_processes_may_make_it_at_the_same_time(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MAKE]

    makers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {maker.communicate()[0].strip() for maker in makers}

    assert [maker.returncode for maker in makers] == [0, 0]
    (folder,) = folders
    assert [item.name for item in (tmp_path / "mammoclip").iterdir()] == [Path(folder).name]


@pytest.mark.parametrize("study", ["four_views", "full_field", "open/malignant_four_views"])
def test_some_real_images_have_findings_and_some_have_none(
    demonstration: Path, test_data: Path, study: str
) -> None:
    request = request_from([test_data / study])

    findings = load_engine(demonstration).analyze(request).findings

    assert {has_regions(image) for image in findings.images} == {True, False}


def has_regions(image: ImageFindings) -> bool:
    return any(finding.regions for finding in image.findings)
