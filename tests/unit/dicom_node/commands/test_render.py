"""A folder of mammograms becomes a folder of result objects, without any service."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from bundles import bundle
from objects_factory import (
    MASS,
    NEGATIVE,
    finding,
    image_of,
    mammogram,
    marker_mask,
    study_of,
)
from studies_on_disk import document_in, four_views, node, written

from mammoclip_core.findings import ImageStatus

__all__ = ["bundle"]

KINDS = {
    "ohif": {"measurement_report": 1, "segmentation": 4, "secondary_capture": 4},
    "workstation": {"cad_report": 1, "secondary_capture": 4, "summary_sheet": 1},
    "pacs": {"measurement_report": 1, "secondary_capture": 4, "summary_sheet": 1},
    "all": {
        "measurement_report": 1,
        "cad_report": 1,
        "segmentation": 4,
        "secondary_capture": 4,
        "summary_sheet": 1,
    },
}


@pytest.mark.parametrize("profile", KINDS)
def test_profile_decides_what_is_written(profile: str, tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, finding(marker_mask(100, 150)))
    out = tmp_path / "out"

    done = node(
        "render", study, "--out", out, "--findings", findings, "--profile", profile, "--json"
    )

    assert done.exit_code == 0, done.output
    objects = json.loads(done.stdout)["objects"]
    assert Counter(one["kind"] for one in objects) == KINDS[profile]
    assert sorted(one["file"] for one in objects) == sorted(map(str, out.iterdir()))


def test_everything_is_written_without_a_profile(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, finding(marker_mask(100, 150)))

    done = node("render", study, "--out", tmp_path / "out", "--findings", findings)

    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").iterdir())) == sum(KINDS["all"].values())
    assert "summary_sheet" in done.stdout


def test_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, NEGATIVE)

    done = node("render", study, "--out", study, "--findings", findings)

    assert done.exit_code == 1
    assert "not an empty folder" in done.stderr
    assert len(list(study.iterdir())) == 4


def test_findings_of_an_image_that_is_not_there_are_refused(tmp_path: Path) -> None:
    other = mammogram("ML")
    study = written(tmp_path / "study", mammogram("CC"))
    findings = document_in(tmp_path, study_of(image_of(other, NEGATIVE)))

    done = node("render", study, "--out", tmp_path / "out", "--findings", findings)

    assert done.exit_code == 1
    assert "has no source image" in done.stderr


def test_text_that_is_no_findings_document_is_refused(tmp_path: Path) -> None:
    study = written(tmp_path / "study", mammogram("CC"))
    findings = tmp_path / "findings.json"
    findings.write_text('{"format": 7}')

    done = node("render", study, "--out", tmp_path / "out", "--findings", findings)

    assert done.exit_code == 1
    assert "findings format 7: expected 1 or 2" in done.stderr


def test_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, NEGATIVE)

    done = node(
        "render", study, "--out", tmp_path / "out", "--findings", findings, "--profile", "x"
    )

    assert done.exit_code == 1
    assert "choose one of all, ohif, pacs, workstation" in done.stderr


def test_own_profile_of_a_settings_file_can_be_tried(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, NEGATIVE)
    config = tmp_path / "mammoclip.toml"
    config.write_text('[profiles.mine]\nobjects = ["summary_sheet"]\npicture_style = "grey"\n')
    out = tmp_path / "out"

    done = node(
        *("render", study, "--out", out, "--findings", findings),
        *("--profile", "mine", "--config", config),
    )

    assert done.exit_code == 0, done.output
    (file,) = out.iterdir()
    assert pydicom.dcmread(file).PhotometricInterpretation == "MONOCHROME2"


def test_document_that_analysed_nothing_gives_nothing(tmp_path: Path) -> None:
    dataset = mammogram()
    study = written(tmp_path / "study", dataset)
    failure = image_of(dataset, status=ImageStatus.FAILED, reason="no pixels")
    findings = document_in(tmp_path, study_of(failure))

    done = node("render", study, "--out", tmp_path / "out", "--findings", findings)

    assert done.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_broken_file_beside_the_images_does_no_harm(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, NEGATIVE)
    (study / "notes.txt").write_text("no DICOM")

    done = node("render", study, "--out", tmp_path / "out", "--findings", findings)

    assert done.exit_code == 0, done.output


@pytest.mark.timeout(300)
def test_model_answers_where_no_findings_are_given(tmp_path: Path, bundle: Path) -> None:
    study = written(tmp_path / "study", mammogram("CC", size=(800, 600)))
    out = tmp_path / "out"

    done = node("render", study, "--out", out, "--bundle", bundle, "--json")

    assert done.exit_code == 0, done.output
    assert {one["kind"] for one in json.loads(done.stdout)["objects"]} >= {
        "measurement_report",
        "cad_report",
        "secondary_capture",
        "summary_sheet",
    }
    assert all(b"UNTRAINED" in file.read_bytes() for file in out.iterdir())


@pytest.mark.timeout(300)
def test_volume_is_answered_in_the_frame_that_is_asked_for(tmp_path: Path, bundle: Path) -> None:
    study = written(tmp_path / "study", mammogram("CC", size=(400, 300), NumberOfFrames=3))
    out = tmp_path / "out"
    options = ("--bundle", bundle, "--tomosynthesis", "middle", "--profile", "pacs")

    done = node("render", study, "--out", out, *options)

    assert done.exit_code == 0, done.output
    (picture,) = out.glob("*secondary_capture.dcm")
    (source,) = pydicom.dcmread(picture).SourceImageSequence
    assert source.ReferencedFrameNumber == 2


def test_command_that_renders_loads_no_model_library() -> None:
    command = [sys.executable, "-c", "import dicom_node.commands.render, sys; print(*sys.modules)"]

    loaded = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()

    assert not {"torch", "timm", "transformers"} & set(loaded)


def test_finding_of_another_model_keeps_its_code(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, finding(marker_mask(100, 150), code=MASS))

    node("render", study, "--out", tmp_path / "out", "--findings", findings, "--profile", "ohif")

    (report,) = (tmp_path / "out").glob("*measurement_report.dcm")
    assert b"4147007" in report.read_bytes()


def test_linked_folders_of_a_study_are_rendered(tmp_path: Path) -> None:
    study, findings = four_views(tmp_path, finding(marker_mask(100, 150)))
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "images").symlink_to(study)

    done = node("render", linked, "--out", tmp_path / "out", "--findings", findings, "--json")

    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["objects"]) == len(list((tmp_path / "out").iterdir())) > 0
