"""Ways of pretraining are judged by labels of one's own, on a table that a mapping reads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from small_bundles import SIZE, small_random_bundle
from typer.testing import CliRunner

from training.commands.train import app
from training.phantoms.family import Family
from training.phantoms.writing import Order, write_phantoms

MAPPING = """
[columns]
image = "Datei"
patient = "Pat"
split = "Teil"

[labels.invasive]
column = "Invasiv"

[labels.risk]
column = "Risiko"
classes = ["low", "middle", "high"]
"""
RISKS = ("low", "middle", "high")
Compare = Callable[..., Result]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Table of a hospital's own, beside the phantoms that are learnt from."""
    for name, seed in (("learnt", 4), ("judged", 5)):
        out = tmp_path / name
        size = {"rows": SIZE[0], "columns": SIZE[1]}
        write_phantoms(Order(family=Family.PLAIN, seed=seed, studies=5, out=out, **size))
    pictures = sorted((tmp_path / "judged" / "png").glob("*/*.png"))
    rows = [
        f"{file.relative_to(tmp_path / 'judged' / 'png')};{file.parent.name};"
        f"{'test' if number >= 12 else 'train'};{number % 2};{RISKS[number % 3]}"
        for number, file in enumerate(pictures)
    ]
    own = tmp_path / "own.csv"
    own.write_text("\n".join(["Datei;Pat;Teil;Invasiv;Risiko", *rows]))
    (tmp_path / "own.toml").write_text(MAPPING)
    return own


@pytest.fixture
def compared(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Run the command with models of random weights in place of trained ones."""
    monkeypatch.setattr("training.evaluation.comparison.pretrain", lambda arguments: None)
    monkeypatch.setattr(
        "training.evaluation.comparison.convert", lambda *given: small_random_bundle(given[2])
    )

    def run(*further: str) -> Result:
        arguments = [
            *("compare", "--way", "other=", "--out", str(tmp_path / "out"), "--seeds", "1"),
            *("--reports", str(tmp_path / "learnt" / "image_text.csv"), "--probe-epochs", "1"),
            *("--images", str(tmp_path / "learnt" / "png")),
            *("--images", str(tmp_path / "judged" / "png"), *further),
        ]
        return CliRunner().invoke(app, arguments)

    return run


def test_every_label_of_the_table_is_probed(table: Path, compared: Compare, tmp_path: Path) -> None:
    mapped = ("--table", str(table), "--mapping", str(tmp_path / "own.toml"))

    made = compared(*mapped)

    assert made.exit_code == 0, made.output
    figures = json.loads((tmp_path / "out" / "comparison.json").read_text())["figures"]
    names = set(figures["baseline"][0])
    assert "invasive of own.csv, linear probe 100 %, AUROC" in names
    assert "risk of own.csv, linear probe 100 %, quadratic kappa" in names
    (tmp_path / "own.toml").write_text(MAPPING.replace('"low", "middle"', '"middle", "low"'))
    assert "comparison with other labels, patients or parts" in compared(*mapped).output


def test_table_that_judges_nothing_is_refused_before_training(
    table: Path, compared: Compare, tmp_path: Path
) -> None:
    mapping = ("--mapping", str(tmp_path / "own.toml"))
    vindr = str(tmp_path / "judged" / "finding_annotations.csv")

    both = compared("--table", str(table), "--vindr", vindr)
    alone = compared("--vindr", vindr, *mapping)
    mistaken = compared("--table", vindr)
    table.write_text(table.read_text().replace(";test;", ";train;"))
    untested = compared("--table", str(table), *mapping)

    assert {one.exit_code for one in (both, alone, mistaken, untested)} == {1}
    assert "one of --vindr and --table" in " ".join(both.output.split())
    assert "--mapping belongs to --table" in " ".join(alone.output.split())
    assert "is of VinDr: VinDr's finding table is given by --vindr" in mistaken.output
    assert "own.csv has no test part to judge by" in untested.output
