"""VinDr-Mammo's finding table as an image-label set: whose texts say what the labels say."""

from pathlib import Path

import numpy as np
import pytest

from training.errors import LeakError, TableError
from training.pretraining.label_records import read_image_label_table
from training.pretraining.records import split_by_fold
from training.pretraining.texts import texts_of
from training.report_synthesis import Attribute
from training.table_formats import VINDR_FINDINGS
from training.tables import read_table

FIXTURE = Path(__file__).parents[1] / "fixtures" / "finding_annotations.csv"


@pytest.fixture
def pictures(tmp_path):
    """The fixture's images as empty files in their studies' folders."""
    for _, row in read_table(FIXTURE, VINDR_FINDINGS).iterrows():
        path = tmp_path / "png" / row["study_id"] / f"{row['image_id']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "png"


def test_each_breast_has_its_images_and_what_any_of_their_rows_says(pictures):
    records = read_image_label_table(FIXTURE, pictures)

    rows = read_table(FIXTURE, VINDR_FINDINGS)
    rows = rows[rows["split"] == "training"]
    labels = {name: shown for record in records for name, shown in record.labels.items()}
    assert len(labels) == rows["image_id"].nunique()
    for name, shown in labels.items():
        own = rows[rows["image_id"] == Path(name).stem]
        said = {word for cell in own["finding_categories"] for word in cell}
        known = {str(attribute) for attribute in Attribute}
        assert {str(item.attribute) for item in shown.observations} == said & known
        assert own["breast_density"].iloc[0] == f"DENSITY {shown.density}"
        assert (pictures / name).is_file()


def test_the_test_part_is_not_shown(pictures):
    rows = read_table(FIXTURE, VINDR_FINDINGS)
    test = set(rows[rows["split"] == "test"]["study_id"])

    shown = {record.patient_id for record in read_image_label_table(FIXTURE, pictures)}

    assert test
    assert not shown & test


def test_texts_say_the_findings_and_deny_the_others(pictures):
    records = read_image_label_table(FIXTURE, pictures)
    record, name = next(
        (record, name)
        for record in records
        for name, shown in record.labels.items()
        if [item.attribute for item in shown.observations] == [Attribute.MASS]
    )

    text, _ = texts_of(record, (name, name), np.random.default_rng(3))

    sentences = text.split(". ")
    about_masses = [sentence for sentence in sentences if "mass" in sentence]
    assert about_masses
    assert not any(sentence.startswith("no ") for sentence in about_masses)
    assert "suspicious calcification" in text


def test_studies_stay_whole_across_folds(tiny_data):
    records = read_image_label_table(tiny_data / "finding_annotations.csv", tiny_data / "png")

    training, validation = split_by_fold(records, 0)

    assert training
    assert validation


def test_missing_picture_is_named(pictures):
    training = read_table(FIXTURE, VINDR_FINDINGS).query("split == 'training'")["image_id"]
    gone = next(path for path in pictures.rglob("*.png") if path.stem in set(training))
    gone.unlink()

    with pytest.raises(TableError, match=gone.stem):
        read_image_label_table(FIXTURE, pictures)


def test_study_in_both_parts_is_refused(pictures, tmp_path):
    lines = FIXTURE.read_text().splitlines()
    lines[1] = lines[1].replace(",training", ",test")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines) + "\n")

    with pytest.raises((LeakError, TableError)):
        read_image_label_table(table, pictures)


def test_table_without_a_training_part_is_refused(pictures, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(FIXTURE.read_text().replace(",training", ",test"))

    with pytest.raises(TableError, match="no image is in the part training"):
        read_image_label_table(table, pictures)
