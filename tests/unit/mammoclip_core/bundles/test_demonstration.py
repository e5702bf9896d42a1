from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mammoclip_core.api import embed_texts
from mammoclip_core.bundles.demonstration import copy_demonstration_bundle, demonstration_bundle
from mammoclip_core.commands.predict import app
from mammoclip_core.manifest import PROMPTS_NAME, read_manifest

CARD = "model-card.md"
MEGABYTE = 1e6


def test_bundle_says_what_it_learned_from() -> None:
    manifest = read_manifest(demonstration_bundle())

    assert manifest.trained_on == "synthetic phantoms"
    assert manifest.warning == "trained on synthetic phantoms, never on a mammogram"
    assert manifest.acceptance == "Apache-2.0 demonstration use"


def test_bundle_is_small() -> None:
    sizes = [file.stat().st_size for file in demonstration_bundle().rglob("*")]

    assert sum(sizes) <= 30 * MEGABYTE


def test_card_is_of_these_weights() -> None:
    card = (demonstration_bundle() / CARD).read_text(encoding="utf-8")

    assert read_manifest(demonstration_bundle()).weights_sha256 in card


def test_card_calls_nothing_zero_shot_that_was_trained() -> None:
    card = (demonstration_bundle() / CARD).read_text(encoding="utf-8")
    rows = [line for line in card.splitlines() if line.startswith("|")]

    assert not [row for row in rows if "zero-shot" in row or "without boxes" in row]


def test_card_says_how_it_stands_other_pictures() -> None:
    card = (demonstration_bundle() / CARD).read_text(encoding="utf-8")

    digest = read_manifest(demonstration_bundle()).weights_sha256
    assert str(int(digest[:8], 16)) in card  # a seed of the finished weights
    for way in ("noise of 3 of 255", "noise of 6 of 255", "blur of 0.7", "blur of 1.5", "gain of"):
        assert way in card


def test_prompts_are_what_its_text_encoder_says() -> None:
    manifest = read_manifest(demonstration_bundle())
    stored = load_file(demonstration_bundle() / PROMPTS_NAME)

    for finding in manifest.findings:
        computed = embed_texts(demonstration_bundle(), list(finding.prompts))
        np.testing.assert_allclose(stored[finding.name], computed, atol=1e-3)


def test_copy_is_a_bundle(tmp_path: Path) -> None:
    copy_demonstration_bundle(tmp_path)

    assert read_manifest(tmp_path) == read_manifest(demonstration_bundle())
    assert (tmp_path / CARD).is_file()


def test_command_prints_where_it_is() -> None:
    done = CliRunner().invoke(app, ["demonstration-bundle"])

    assert done.stdout.strip() == str(demonstration_bundle())
    assert "trained on synthetic phantoms" in done.stderr


def test_command_copies_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demonstration-bundle", "--out", str(tmp_path / "mine")])

    assert done.stdout.strip() == str(tmp_path / "mine")
    assert read_manifest(tmp_path / "mine").name == "demonstration"


@pytest.mark.parametrize("image", ["LCC", "RMLO"])
def test_film_is_answered_with_the_warning(image: str) -> None:
    film = Path(__file__).parents[4] / "deploy" / "demo" / "studies" / "film" / f"{image}.dcm"

    done = CliRunner().invoke(app, ["image", str(film)])

    assert done.exit_code == 0
    assert "never on a mammogram" in done.stdout
