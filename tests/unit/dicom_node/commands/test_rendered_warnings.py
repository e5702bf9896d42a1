"""Objects of a findings document carry the warning and the terms of the weights that answered."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from licensed_bundle import write_bundle
from objects_factory import BUNDLE, finding, image_of, mammogram, marker_mask, source_of, study_of
from objects_factory import identity as identity_of
from studies_on_disk import document_in, node, written

from dicom_node.model_bundle import UNTOLD_WARNING
from dicom_node.objects.results import build_results
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.findings import BundleIdentity, StudyAnalysis
from mammoclip_core.manifest import read_manifest

WARNED = replace(BUNDLE, name="theirs", warning="TRAINED ON NOTHING")
DEMONSTRATION = read_manifest(demonstration_bundle())
OWN_KINDS = '[profiles.mine]\nobjects = ["secondary_capture", "segmentation", "cad_report"]\n'

Render = Callable[..., list[pydicom.Dataset]]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    def rendered(
        bundle: BundleIdentity, *options: str | Path, without: str = ""
    ) -> list[pydicom.Dataset]:
        dataset = mammogram()
        image = image_of(dataset, finding(marker_mask(100, 150)))
        study = written(tmp_path / "study", dataset)
        file = document_in(tmp_path, replace(study_of(image), bundle=bundle))
        document = json.loads(file.read_text())
        document["bundle"].pop(without, None)
        file.write_text(json.dumps(document))
        config = tmp_path / "mammoclip.toml"
        config.write_text(OWN_KINDS)
        out = tmp_path / "out"
        done = node(
            *("render", study, "--out", out, "--findings", file),
            *("--config", config, "--profile", "mine", *options),
        )
        assert done.exit_code == 0, done.output
        return [pydicom.dcmread(one) for one in sorted(out.iterdir())]

    return rendered


def told_by(dataset: pydicom.Dataset) -> str:
    return str(dataset.ContributingEquipmentSequence[0].ContributionDescription)


def test_every_object_carries_the_warning_and_the_terms_of_the_document(render: Render) -> None:
    for dataset in render(replace(WARNED, licence="CC-BY-NC", permitted_use="research use")):
        assert "TRAINED ON NOTHING" in told_by(dataset)
        assert "licence CC-BY-NC, permitted use: research use" in told_by(dataset)
        assert f"theirs {WARNED.version}" in dataset.SoftwareVersions


def test_document_that_is_silent_about_a_warning_gives_objects_that_say_so(render: Render) -> None:
    for dataset in render(WARNED, without="warning"):
        assert UNTOLD_WARNING in told_by(dataset)


def test_document_without_a_warning_gives_objects_without(render: Render) -> None:
    for dataset in render(replace(WARNED, warning="")):
        assert UNTOLD_WARNING not in told_by(dataset)


@pytest.mark.parametrize("warning", ["", "all is well"])
def test_warning_of_weights_that_are_here_cannot_be_talked_away(
    render: Render, warning: str
) -> None:
    claimed = replace(DEMONSTRATION.identity, warning=warning)

    for dataset in render(claimed):
        assert DEMONSTRATION.warning.rstrip(".")[:40] in told_by(dataset)


def test_warning_of_the_bundle_that_is_named_is_found_by_its_weights(
    render: Render, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle", warning="UNTRAINED: outputs mean nothing")
    identity = replace(read_manifest(bundle).identity, warning="")

    for dataset in render(identity, "--bundle", bundle):
        assert "UNTRAINED: outputs mean nothing" in told_by(dataset)


@pytest.mark.parametrize("value", [["a", "list"], 7, {"no": "text"}])
def test_warning_that_is_no_text_is_refused(tmp_path: Path, value: Any) -> None:
    dataset = mammogram()
    file = document_in(tmp_path, study_of(image_of(dataset, finding())))
    document = json.loads(file.read_text())
    document["bundle"]["warning"] = value
    file.write_text(json.dumps(document))

    done = node(
        "render",
        written(tmp_path / "study", dataset),
        "--out",
        tmp_path / "out",
        "--findings",
        file,
    )

    assert done.exit_code == 1
    assert "which is not text" in done.stderr


def test_objects_of_warned_findings_are_warned_whoever_makes_them() -> None:
    dataset = mammogram()
    findings = replace(study_of(image_of(dataset, finding(marker_mask(60, 150)))), bundle=WARNED)

    results = build_results(
        [source_of(dataset)],
        StudyAnalysis(findings=findings),
        identity_of(warning="", bundle=WARNED),
    )

    assert all("TRAINED ON NOTHING" in told_by(one.dataset) for one in results)
