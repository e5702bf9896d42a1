"""`test-rule` says which rule takes a study on disk, and why."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from studies_on_disk import node
from unit.dicom_node.node_factory import (
    FAMILY_NAME,
    PATIENT_ID,
    TOMOSYNTHESIS,
    four_views,
    mammogram,
)

RULES = """
[[destinations]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"

[[rules]]
name = "men"
when = "PatientSex == 'M'"
refuse = "the model was trained on women"

[[rules]]
name = "van"
when = "sender == 'VAN1' && age >= 40"
priority = "off-peak"

[[rules]]
name = "night"
when = "time >= '22:00' && weekday != 'Sun'"
destinations = [{ name = "archive", profile = "pacs" }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mammoclip.toml"
    file.write_text(RULES + '[results]\ntime_zone = "Europe/Berlin"\n')
    return file


def written(folder: Path, datasets: Iterable[Dataset]) -> Path:
    folder.mkdir()
    for number, dataset in enumerate(datasets):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pydicom.dcmwrite(folder / f"{number}.dcm", dataset, enforce_file_format=True)
    return folder


def trial_of(*arguments: Any) -> dict[str, Any]:
    done = node("test-rule", *arguments, "--json")
    assert done.exit_code == 0, done.output
    (study,) = json.loads(done.stdout)["studies"]
    return dict(study)


def test_steps_say_which_part_is_false(tmp_path: Path, config: Path) -> None:
    study = written(tmp_path / "study", four_views(PatientAge="039Y"))

    done = node(
        "test-rule", study, "--config", config, "--sender", "VAN1", "--at", "2026-03-31T12:00"
    )

    assert done.exit_code == 0, done.output
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[1:] == [
        "rule men: no",
        "false: PatientSex == 'M'   [PatientSex = 'F']",
        "rule van: no",
        "true: sender == 'VAN1'   [sender = 'VAN1']",
        "false: age >= 40   [age = 39]",
        "rule night: no",
        "false: time >= '22:00'   [time = '12:00']",
        "rule default: yes",
        "=> bundle default; to all destinations",
    ]


def test_nothing_of_the_patient_is_printed_that_no_condition_asks_for(
    tmp_path: Path, config: Path
) -> None:
    study = written(tmp_path / "study", four_views(PatientAge="039Y"))

    for arguments in ([], ["--json"]):
        done = node("test-rule", study, "--config", config, *arguments)
        assert FAMILY_NAME not in done.output
        assert PATIENT_ID not in done.output


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["--sender", "VAN1", "--at", "2026-03-31T22:00"], "van"),
        (["--at", "2026-03-31T22:00"], "night"),
        (["--at", "2026-03-31T19:59Z"], "default"),
        (["--at", "2026-03-31T20:01Z"], "night"),
        (["--at", "2026-03-29T22:30"], "default"),
    ],
)
def test_sender_and_time_can_be_assumed(
    tmp_path: Path, config: Path, arguments: list[str], rule: str
) -> None:
    study = written(tmp_path / "study", four_views(PatientAge="052Y"))

    assert trial_of(study, "--config", config, *arguments)["rule"] == rule


def test_study_that_a_rule_refuses_is_told_with_the_reason(tmp_path: Path, config: Path) -> None:
    study = written(tmp_path / "study", four_views(PatientSex="M"))

    found = trial_of(study, "--config", config)

    assert (found["rule"], found["decision"]) == (
        "men",
        "not analysed: the model was trained on women",
    )


def test_study_of_which_nothing_is_analysed_needs_no_rule(tmp_path: Path, config: Path) -> None:
    study = written(tmp_path / "study", [mammogram(SOPClassUID=TOMOSYNTHESIS)])

    found = trial_of(study, "--config", config)

    assert found["rule"] is None
    assert found["problem"].startswith("nothing to analyse: Breast Tomosynthesis")


def test_what_is_no_dicom_is_passed_over_with_its_reason(tmp_path: Path, config: Path) -> None:
    study = written(tmp_path / "study", four_views())
    (study / "notes.txt").write_text("no DICOM")
    (study / "elsewhere.dcm").symlink_to("/etc/passwd")

    done = node("test-rule", study, "--config", config, "--json")

    (passed,) = json.loads(done.stdout)["passed_over"]
    assert passed["file"].endswith("notes.txt")


def test_nothing_but_notes_is_an_error(tmp_path: Path, config: Path) -> None:
    (tmp_path / "study").mkdir()

    for path in ("study", "nowhere"):
        done = node("test-rule", tmp_path / path, "--config", config)
        assert done.exit_code == 1
        assert "Traceback" not in done.output


def test_wrong_rule_is_named(tmp_path: Path, config: Path) -> None:
    config.write_text('[[rules]]\nname = "a"\nwhen = "PatientSexx == 1"\n')

    done = node("test-rule", written(tmp_path / "study", four_views()), "--config", config)

    assert done.exit_code == 1
    assert "rules[1] a: when, column 1: nothing is called PatientSexx" in done.output
