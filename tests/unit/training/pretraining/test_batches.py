"""Which breasts make a batch, and in which order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mammoclip_core.networks.text_encoder import Tokenizer
from training.data.breast_records import BreastRecord, read_image_text_table, split_by_fold
from training.data.image_source import PictureFolder
from training.errors import SettingsError, TableError
from training.learning.schedule import learning_rate_factor
from training.pretraining.batches import Collate, ResumableBatches, Sample, two_images
from training.reports.report_text import Report, to_text

REPORT = Report(findings=("no mass",))


@given(st.integers(4, 40), st.integers(1, 4), st.integers(0, 30))
def test_resumed_order_is_the_rest_of_the_order(count, batch_size, done):
    whole, steps = [], len(ResumableBatches(count, batch_size, 1))
    for epoch in range(done // steps + 1):
        whole += list(ResumableBatches(count, batch_size, 1, step=lambda e=epoch: e * steps))

    rest = list(ResumableBatches(count, batch_size, 1, step=lambda: done))

    assert rest == whole[done:]


@given(st.integers(8, 40), st.integers(1, 4))
def test_ranks_share_an_epoch_without_a_breast_twice(count, batch_size):
    ranks = [list(ResumableBatches(count, batch_size, 3, rank=rank, ranks=2)) for rank in (0, 1)]

    places = [key for rank in ranks for batch in rank for key in batch]

    assert len(places) == len(set(places)) == count // (2 * batch_size) * 2 * batch_size


def test_too_few_breasts_for_a_batch_are_refused():
    with pytest.raises(SettingsError, match="3 breasts are too few for a batch of 4"):
        ResumableBatches(3, 4, 0)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({"CC": ("a", "b"), "MLO": ("c",)}, [{"a", "c"}, {"b", "c"}]),
        ({"CC": ("a", "b"), "MLO": ()}, [{"a", "b"}]),
        ({"MLO": ("c",)}, [{"c"}]),
    ],
)
def test_two_images_are_of_two_views_where_there_are_two(images, expected):
    record = BreastRecord(patient_id="P", laterality="L", images=images, report=REPORT)

    drawn = [set(two_images(record, np.random.default_rng(seed))) for seed in range(30)]

    assert all(pair in drawn for pair in expected)
    assert all(pair in expected for pair in drawn)


def test_each_text_has_its_sentences_beside_it_in_turn(tiny_data):
    tokenizer = Tokenizer(tiny_data / "tokenizer", do_lower_case=True)
    texts = (to_text(["no mass", "oval mass"]), to_text(["fatty breasts"]))
    sample = Sample(torch.zeros(2, 1, 4, 4), texts, torch.zeros(2, 3))

    batch = Collate(tokenizer, with_sentences=True)([sample, sample])

    first = ["no mass", "oval mass", "no mass", "oval mass"]
    expected = tokenizer([*first, *first, *["fatty breasts"] * 8])
    assert batch.sentences["input_ids"].equal(expected["input_ids"])
    joined = tokenizer(["no mass oval mass", "fatty breasts"])["input_ids"]
    assert batch.tokens["input_ids"][::2].equal(joined)


def test_patient_in_two_folds_is_refused(tiny_data):
    records = read_image_text_table(tiny_data / "image_text.csv")
    torn = [*records, BreastRecord(patient_id=records[0].patient_id, laterality="L",
                                   images={"CC": ("x",)}, report=REPORT, fold=3)]  # fmt: skip

    with pytest.raises(TableError, match=records[0].patient_id):
        split_by_fold(torn, 0)


def test_every_bad_row_of_a_table_is_named(tiny_data, tmp_path):
    lines = (tiny_data / "image_text.csv").read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace(",R,", ",middle,", 1)
    lines[3] = lines[3].rsplit(",", 1)[0] + ",x"
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    with pytest.raises(TableError, match=r"2 faults\n  line 2, laterality.*\n  line 4, fold"):
        read_image_text_table(tmp_path / "table.csv")


def test_missing_picture_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        PictureFolder(tmp_path, (8, 8))("gone.png")


def test_learning_rate_rises_then_falls_to_nothing():
    factors = [learning_rate_factor(step, 4, 20) for step in range(21)]

    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[20] == pytest.approx(0.0, abs=1e-12)
