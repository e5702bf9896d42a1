"""The command that makes a bundle of published checkpoints: convert."""

from pathlib import Path
from typing import Any

from checkpoint_factory import (
    classifier_state,
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_classifier,
    write_pretraining,
)

from mammoclip_core.manifest import read_manifest

Run = Any


def test_checkpoint_is_converted_with_its_head(run: Run, tmp_path: Path) -> None:
    words = tokenizer(tmp_path / "words")
    checkpoint = write_pretraining(
        tmp_path / "checkpoint.tar", pretraining_state(vocabulary_size(words))
    )
    head = write_classifier(tmp_path / "cancer.pth", classifier_state())
    out = tmp_path / "bundle"

    result = run(
        "convert", checkpoint, "--tokenizer", words, "--out", out, "--head", f"cancer={head}"
    )

    assert result.exit_code == 0
    assert "CC-BY-NC-SA-4.0: research use only" in result.stderr
    assert read_manifest(out).finding("malignancy").head == "cancer"


def test_checkpoint_that_is_refused_is_one_line(run: Run, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.tar"
    checkpoint.write_bytes(b"PK")

    result = run(
        "convert", checkpoint, "--tokenizer", tokenizer(tmp_path / "words"), "--out", tmp_path / "b"
    )

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "truncated" in result.stderr


def test_head_without_a_name_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.tar"
    checkpoint.write_bytes(b"")

    result = run(
        "convert", checkpoint, "--tokenizer", "x", "--out", tmp_path / "b", "--head", "cancer.pth"
    )

    assert result.exit_code == 2


def test_image_side_is_converted_without_a_tokenizer(run: Run, tmp_path: Path) -> None:
    checkpoint = write_pretraining(tmp_path / "checkpoint.tar", pretraining_state(90))

    result = run("convert", checkpoint, "--image-only", "--out", tmp_path / "bundle")

    assert result.exit_code == 0
    assert "it embeds images only" in result.stdout
    assert run("convert", checkpoint, "--out", tmp_path / "other").exit_code == 2
