"""Every part of the suite in one go, on phantoms too few to learn from: the table is complete."""

import json

import pytest
from small_bundles import SIZE, small_random_bundle
from typer.testing import CliRunner

from training.commands.train import app
from training.phantoms.family import Family
from training.phantoms.writing import Order, write_phantoms

pytestmark = [
    pytest.mark.timeout(600),
    # Lightning's own: nothing here may warn.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    data = folder / "phantoms"
    write_phantoms(
        Order(family=Family.PLAIN, seed=4, studies=6, out=data, rows=SIZE[0], columns=SIZE[1])
    )
    bundle = small_random_bundle(folder / "bundle")
    command = (
        *("evaluate", "--suite", "paper", "--bundle", bundle, "--images", data / "png"),
        *("--vindr", data / "finding_annotations.csv", "--rsna", data / "rsna_train.csv"),
        *("--reports", data / "image_text.csv", "--out", folder / "out"),
        *("--quick", "--epochs", "1", "--repeats", "20"),
    )
    done = CliRunner().invoke(app, [*map(str, command)])
    assert done.exit_code == 0, done.output
    return json.loads((folder / "out" / "evaluation.json").read_text())["figures"]


@pytest.mark.parametrize(
    ("task", "setting", "measure"),
    [
        ("VinDr mass", "zero-shot", "AUROC"),
        ("VinDr mass", "linear probe 100 %", "AUROC"),
        ("VinDr mass", "fine-tune 100 %", "AUROC"),
        ("VinDr density", "fine-tune 100 %", "macro F1"),
        ("RSNA cancer", "fine-tune 100 %", "AUROC"),
        ("VinDr mass localisation without boxes", "Mammo-FActOR", "pointing game"),
    ],
)
def test_part_has_its_row_with_a_figure(figures, task, setting, measure):
    rows = [
        row
        for row in figures
        if (row["task"], row["setting"], row["measure"]) == (task, setting, measure)
    ]

    assert len(rows) == 1
    assert rows[0]["honest"]["value"] is not None


def test_detection_is_told_frozen_and_fine_tuned(figures):
    settings = {
        row["setting"].partition(",")[0] for row in figures if "detection" in row["task"].lower()
    }

    assert any("frozen encoder" in setting for setting in settings)
    assert any("fine-tune" in setting for setting in settings)
