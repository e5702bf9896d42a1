"""The command: reports come back in other words, into the column that pretraining reads."""

import ast
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import MarianMTModel
from typer.testing import CliRunner

from training.back_translation import marian
from training.back_translation.journal import JOURNAL_ENDING, opened
from training.back_translation.table_translation import BackTranslationOrder, back_translate
from training.commands.train import app
from training.data.breast_records import read_image_text_table
from training.data.table_reading import read_cells
from training.errors import SettingsError
from training.reports.report_text import Report
from training.terminal import progress

ROOT = Path(__file__).parents[4]
FIXTURES = Path(__file__).parents[1] / "fixtures"
TABLE = FIXTURES / "image_text.csv"
SENTENCES = 5
"""Distinct ones of the table: those that the models know."""

DYING = """
import os, signal, sys
from training.back_translation.journal import SentenceJournal
from training.commands.train import app
note = SentenceJournal.note
def dying(self, back):
    note(self, back)
    if len(self.back) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
SentenceJournal.note = dying
app(sys.argv[1:])
"""


def arguments(table, models, out, *further):
    forward, backward = models
    return [
        *("back-translate", str(table), "--forward", str(forward), "--backward", str(backward)),
        *("--out", str(out), *further),
    ]


def run(table, models, out, *further):
    return CliRunner().invoke(app, arguments(table, models, out, *further))


def order(models, out, **further):
    forward, backward = models
    return BackTranslationOrder(
        table=TABLE, forward=str(forward), backward=str(backward), out=out, **further
    )


def journal_of(out):
    path = out.with_name(out.name + JOURNAL_ENDING)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def with_reports(path, reports):
    """Write the first rows of the table with other (findings, impressions)."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[: len(reports)]
    for row, (findings, impressions) in zip(rows, reports, strict=True):
        row |= {"findings": findings, "impressions": impressions}
        del row["text_augment"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def written(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "augmented.csv"
    result = run(TABLE, models, out, "--batch-size", "2")
    assert result.exit_code == 0, result.output
    return out


def test_reports_come_back_in_other_words(written):
    cells = read_cells(written)

    again = dict(zip(cells["findings"] + "|" + cells["impressions"], cells["text_augment"],
                     strict=True))  # fmt: skip
    assert ast.literal_eval(again["no mass|birads category 1"]) == ["mass absent", "birads 1"]
    assert ast.literal_eval(again["there is an irregular mass|birads category 4"]) == [
        "an irregular mass is seen",
        "birads 4",
    ]
    assert ast.literal_eval(again["there is an irregular mass|birads category 1 negative"]) == [
        "an irregular mass is seen",
        "birads 1. it is negative",
    ]
    assert ast.literal_eval(again["no mass|"]) == ["mass absent", ""]


def test_other_columns_are_as_they_were(written):
    before, after = read_cells(TABLE), read_cells(written)

    assert list(after.columns) == list(before.columns)
    assert after.drop(columns="text_augment").equals(before.drop(columns="text_augment"))


def test_pretraining_reads_what_was_written(written):
    (record,) = (
        item
        for item in read_image_text_table(written)
        if (item.patient_id, item.laterality) == ("P006", "L")
    )

    assert record.augmented == Report(
        findings=("an irregular mass is seen",), impression=("birads 1", "it is negative")
    )


def test_table_without_the_column_gets_it_before_the_fold(models, tmp_path):
    table = with_reports(tmp_path / "table.csv", [("no mass", "birads category 1")])

    run(table, models, tmp_path / "out.csv")

    assert list(read_cells(tmp_path / "out.csv").columns)[-2:] == ["text_augment", "fold"]


def test_each_sentence_is_translated_once(written):
    noted = [entry["sentence"] for entry in journal_of(written)]

    assert len(noted) == len(set(noted)) == SENTENCES


def journal_beside(out, written):
    """Give a table that is to be written the journal of another one."""
    shutil.copyfile(
        written.with_name(written.name + JOURNAL_ENDING), out.with_name(out.name + JOURNAL_ENDING)
    )


def test_second_run_computes_nothing(models, written, tmp_path):
    out = tmp_path / "out.csv"
    journal_beside(out, written)

    outcome = back_translate(order(models, out), progress)

    assert (outcome.translated, outcome.known) == (0, SENTENCES)
    assert out.read_bytes() == written.read_bytes()
    assert len(journal_of(out)) == SENTENCES


def test_killed_run_is_taken_up(models, written, tmp_path):
    script, out = tmp_path / "dying.py", tmp_path / "augmented.csv"
    script.write_text(DYING, encoding="utf-8")
    killed = subprocess.run(
        [sys.executable, str(script), *arguments(TABLE, models, out, "--batch-size", "2")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    journal = tmp_path / (out.name + JOURNAL_ENDING)
    journal.write_bytes(journal.read_bytes()[:-20])

    outcome = back_translate(order(models, out, batch_size=2), progress)

    assert (outcome.translated, outcome.known) == (2, 3)
    assert out.read_bytes() == written.read_bytes()


def test_more_beams_translate_again(models, written, tmp_path):
    journal_beside(tmp_path / "out.csv", written)

    outcome = back_translate(order(models, tmp_path / "out.csv", beams=6), progress)

    assert (outcome.translated, outcome.known) == (SENTENCES, 0)


def test_model_of_other_weights_translates_again(models, written, untrained, tmp_path):
    journal_beside(tmp_path / "out.csv", written)

    outcome = back_translate(order((models[0], untrained), tmp_path / "out.csv"), progress)

    assert (outcome.translated, outcome.known, outcome.unanswered) == (SENTENCES, 0, SENTENCES)


def test_batches_change_nothing(models, written, tmp_path):
    back_translate(order(models, tmp_path / "whole.csv", batch_size=100), progress)

    assert (tmp_path / "whole.csv").read_bytes() == written.read_bytes()


def test_sentence_of_which_nothing_comes_back_stays(models, untrained, tmp_path):
    table = with_reports(tmp_path / "table.csv", [("no mass", "birads category 1")])

    result = run(table, (models[0], untrained), tmp_path / "out.csv")

    assert "2 sentences stay as they are" in result.stderr
    (cell,) = read_cells(tmp_path / "out.csv")["text_augment"]
    assert ast.literal_eval(cell) == ["no mass", "birads category 1"]


def test_sentence_too_long_for_the_model_stays_whole(models, tmp_path):
    long = " ".join(["there is an irregular mass"] * 20)
    table = with_reports(tmp_path / "table.csv", [(long, "birads category 4")])

    run(table, models, tmp_path / "out.csv")

    (cell,) = read_cells(tmp_path / "out.csv")["text_augment"]
    assert ast.literal_eval(cell) == [long, "birads 4"]


def test_sentences_of_a_section_stay_apart(models, tmp_path):
    findings = "No mass. There is an irregular mass."
    table = with_reports(tmp_path / "table.csv", [(findings, "")])

    run(table, models, tmp_path / "out.csv")

    (record,) = read_image_text_table(tmp_path / "out.csv")
    assert record.augmented == Report(findings=("mass absent", "an irregular mass is seen"))


def pickle_weights(folder):
    """Put a model's weights into the older form, in which most of these models are published."""
    model = MarianMTModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def test_weights_that_were_pickled_are_read(models, written, tmp_path):
    folder = tmp_path / "it-en"
    shutil.copytree(models[1], folder)
    pickle_weights(folder)

    back_translate(order((models[0], folder), tmp_path / "out.csv"), progress)

    assert (tmp_path / "out.csv").read_bytes() == written.read_bytes()


@pytest.mark.parametrize("change", [lambda folder: None, pickle_weights])
def test_model_of_the_hub_is_found_by_its_name(models, written, tmp_path, monkeypatch, change):
    repository = tmp_path / "hub" / "models--Nobody--it-en"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(models[1], snapshot)
    change(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    back_translate(order((models[0], "Nobody/it-en"), tmp_path / "out.csv"), progress)

    assert (tmp_path / "out.csv").read_bytes() == written.read_bytes()


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_that_would_run_code_are_refused(models, tmp_path):
    folder = tmp_path / "it-en"
    shutil.copytree(models[1], folder)
    (folder / "model.safetensors").unlink()
    torch.save({"harm": Harm(tmp_path / "harmed")}, folder / "pytorch_model.bin")

    result = run(TABLE, (models[0], folder), tmp_path / "out.csv")

    assert_refused(result, "cannot be read")
    assert not (tmp_path / "harmed").exists()


def assert_refused(result, *words):
    """Assert that a command ended with one line that says so."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = result.stderr.splitlines()
    assert line.startswith("mammoclip-train: ")
    for word in words:
        assert word in line


def broken(models, target, change):
    folder = target / "broken"
    shutil.copytree(models[1], folder)
    change(folder)
    return folder


def set_config(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json missing"),
        (lambda folder: (folder / "source.spm").unlink(), "source.spm missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors missing"),
        (lambda folder: set_config(folder, model_type="bert"), "its model_type is 'bert'"),
        (lambda folder: set_config(folder, encoder_layers=2), "lacks"),
        (lambda folder: set_config(folder, d_model=64), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is not JSON"),
        (lambda folder: (folder / "target.spm").write_bytes(b"no"), "cannot be read"),
        (lambda folder: (folder / "vocab.json").write_text("[]"), "cannot be read"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be read"),
    ],
)
def test_folder_that_holds_no_whole_marian_model_is_refused(models, tmp_path, change, words):
    folder = broken(models, tmp_path, change)

    result = run(TABLE, (models[0], folder), tmp_path / "out.csv")

    assert_refused(result, str(folder), words)
    assert not list(tmp_path.glob("out.csv*"))


def test_name_that_is_neither_folder_nor_hub_name_is_refused(models, tmp_path):
    missing = tmp_path / "nowhere" / "en-it"

    result = run(TABLE, (missing, models[1]), tmp_path / "out.csv")

    assert_refused(
        result, str(missing), "is not a folder and cannot be downloaded from the model hub"
    )


def test_table_without_reports_is_refused(models, tmp_path):
    result = run(FIXTURES / "rsna_train.csv", models, tmp_path / "out.csv")

    assert_refused(result, "the columns findings and impressions are missing")


def test_dictated_reports_are_to_be_prepared_first(models, tmp_path):
    result = run(FIXTURES / "reports.csv", models, tmp_path / "out.csv")

    assert_refused(result, "mammoclip-train prepare")


def test_table_is_not_written_over_itself(models, tmp_path):
    table = tmp_path / "table.csv"
    shutil.copyfile(TABLE, table)

    result = run(table, models, table)

    assert_refused(result, "is the table itself")
    assert table.read_bytes() == TABLE.read_bytes()


def test_device_that_is_not_there_is_refused(models, tmp_path):
    result = run(TABLE, models, tmp_path / "out.csv", "--device", "cuda:99")

    assert_refused(result, "cuda:99", "not usable on this machine")


def test_short_memory_asks_for_smaller_batches(models, tmp_path, monkeypatch):
    def short(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 TB")

    monkeypatch.setattr(MarianMTModel, "generate", short)

    result = run(TABLE, models, tmp_path / "out.csv")

    assert result.exit_code == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("mammoclip-train: memory is short on cpu")
    assert "--batch-size" in line


def test_second_run_waits_its_turn(models, tmp_path):
    out = tmp_path / "out.csv"

    with opened(out, "models"), pytest.raises(SettingsError, match="another run"):
        back_translate(order(models, out), progress)


def test_missing_sentencepiece_names_the_extra(models, tmp_path, monkeypatch):
    monkeypatch.setattr(marian, "is_installed", lambda name: name != "sentencepiece")

    result = run(TABLE, models, tmp_path / "out.csv")

    assert_refused(result, "pip install '.[translation]'")
