"""The walk of docs/researchers.md, command by command as it stands there, at tiny size."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pydicom
import pytest
from typer.testing import CliRunner

from dicom_node.commands.node import app as node
from mammoclip_core.commands.predict import app as predict
from mammoclip_core.manifest import read_manifest
from training.commands.train import app as train
from training.data.breast_records import read_image_text_table, split_by_fold
from training.downstream.labelled_images import read_labelled
from training.evaluation.judged_reports import read_judged_reports
from training.examples.demonstration.vocabulary import write_trained_tokenizer

WALK: Final = Path(__file__).parents[2] / "docs" / "researchers.md"
TINY: Final = {
    "--studies 40": "--studies 16 --rows 380 --columns 228",
    "--config b5": "--config tiny --trainer.max_epochs 1 --trainer.enable_progress_bar false",
    "Bio_ClinicalBERT": "tokenizer",
    "--processes 2": "--processes 1 --rows 190 --columns 114",
    "--task mass": "--task mass --epochs 2",
    "--sensitivity 0.9": "--sensitivity 0.9 --finding mass",
    "--suite paper": "--suite paper --only zero-shot --repeats 20",
}
"""What a minute has no time for; the rest is done as written."""

APPS: Final = {"mammoclip-train": train, "mammoclip-predict": predict, "mammoclip-node": node}


def commands() -> list[list[str]]:
    """Return the commands of the page's blocks, in order."""
    blocks = re.findall(r"^```\n(.*?)^```", WALK.read_text(encoding="utf-8"), re.DOTALL | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("mammoclip-")]
    text = "\n".join(found)
    for written, tiny in TINY.items():
        assert written in text, written
        text = text.replace(written, tiny)
    return [shlex.split(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    write_trained_tokenizer(folder / "tokenizer", attention_heads=2, hidden_size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for program, *arguments in commands():
            if arguments[0] == "pretrain":  # Lightning's and jsonargparse's own warnings
                command = [sys.executable, "-m", "training.commands.train", *arguments]
                subprocess.run(command, check=True, capture_output=True, timeout=240)
                continue
            done = CliRunner().invoke(APPS[program], arguments, catch_exceptions=False)
            assert done.exit_code == 0, f"{program} {arguments[0]}: {done.output[-2000:]}"
    return folder


def test_every_program_has_its_part() -> None:
    assert {program for program, *_ in commands()} == set(APPS)


def test_the_bundle_prefers_the_trained_head_and_says_a_probability(walked: Path) -> None:
    manifest = read_manifest(walked / "bundles" / "mine-calibrated")
    mass = next(entry for entry in manifest.findings if entry.name == "mass")
    assert mass.head is not None
    assert mass.calibration is not None
    assert mass.operating_point is not None


def test_the_figures_stand_beside_the_papers(walked: Path) -> None:
    figures = json.loads((walked / "judged" / "evaluation.json").read_text(encoding="utf-8"))
    (mass,) = (
        one
        for one in figures["figures"]
        if (one["task"], one["measure"]) == ("VinDr mass", "AUROC")
    )
    assert mass["published"]["evidence"]
    assert 0 <= mass["honest"]["value"] <= 1


def test_no_patient_that_is_judged_was_trained_on(walked: Path) -> None:
    reports = read_image_text_table(walked / "reports" / "image_text.csv")
    pretrained, chosen = split_by_fold(reports, 0)
    learnt = {one.patient_id for one in pretrained}
    labelled = read_labelled(
        walked / "prepared" / "finding_annotations.csv", [walked / "prepared" / "png"]
    ).images
    parts = labelled.groupby("part")["patient"].agg(set)
    judged = read_judged_reports(
        walked / "reports" / "image_text.csv", [walked / "reports" / "png"]
    ).patients

    assert learnt
    assert not learnt & parts["test"]
    assert not parts["test"] & (parts["training"] | parts["held out"])
    assert set(judged) == {one.patient_id for one in chosen}
    assert not learnt & set(judged)


def test_a_node_would_send_its_results(walked: Path) -> None:
    kinds = {pydicom.dcmread(file).Modality for file in (walked / "results").glob("*.dcm")}
    assert {"SR", "OT"} <= kinds
