"""VinDr-Mammo's finding table as an image-label set: whose texts say what the labels say."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data.breast_records import split_by_fold
from training.data.image_source import ARRAY_NAME, NAMES_NAME
from training.data.table_formats import VINDR_FINDINGS
from training.data.table_reading import read_table
from training.errors import LeakError, TableError
from training.pretraining.data_module import (
    DataSettings,
    ImageLabelSet,
    ImageTextSet,
    PretrainingData,
)
from training.pretraining.label_records import read_image_label_table
from training.pretraining.texts import texts_of
from training.reports.report_synthesis import (
    Attribute,
    Observation,
    negative_sentences,
    positive_sentences,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "finding_annotations.csv"


@pytest.fixture
def pictures(tmp_path):
    """The fixture's images, all black, in their studies' folders."""
    for _, row in read_table(FIXTURE, VINDR_FINDINGS).iterrows():
        path = tmp_path / "png" / row["study_id"] / f"{row['image_id']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.zeros((2, 2), np.uint8))
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

    def says(sentences):
        return any(sentence.strip(" .").lower() in text.lower() for sentence in sentences)

    side = record.laterality
    mass, calcification = Attribute.MASS, Attribute.SUSPICIOUS_CALCIFICATION
    assert says(positive_sentences(Observation(attribute=mass), side))
    assert not says(negative_sentences(mass, side))
    assert says(negative_sentences(calcification, side))
    assert not says(positive_sentences(Observation(attribute=calcification), side))


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

    with pytest.raises(TableError, match="there are no images of split 'training'"):
        read_image_label_table(table, pictures)


def test_dicom_files_are_to_be_prepared_first(pictures):
    training = read_table(FIXTURE, VINDR_FINDINGS).query("split == 'training'")["image_id"]
    picture = next(path for path in pictures.rglob("*.png") if path.stem in set(training))
    picture.rename(picture.with_suffix(".dicom"))
    picture.with_suffix(".dicom").write_bytes(bytes(128) + b"DICM")

    with pytest.raises(TableError, match=r"is not a PNG.*mammoclip-train prepare"):
        read_image_label_table(FIXTURE, pictures)


def test_one_name_for_pictures_of_two_sets_is_refused(pictures, tmp_path):
    shutil.copytree(pictures, tmp_path / "others")
    sets = [
        ImageLabelSet(table=str(FIXTURE), images=str(folder))
        for folder in (pictures, tmp_path / "others")
    ]

    with pytest.raises(TableError, match="names of their own"):
        PretrainingData(DataSettings(image_label=sets)).setup("fit")


def packed(pictures, out):
    """Name the pictures' array as `mammoclip-train pack` does."""
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    out.mkdir()
    np.save(out / ARRAY_NAME, np.zeros((len(names), 2, 2), np.uint8))
    (out / NAMES_NAME).write_text(json.dumps(dict.fromkeys(names, "")))
    return out


def test_array_of_the_pictures_is_read_as_they_are(pictures, tmp_path):
    array = packed(pictures, tmp_path / "array")

    assert read_image_label_table(FIXTURE, array) == read_image_label_table(FIXTURE, pictures)


@pytest.mark.parametrize("kind", ["folder", "array"])
def test_missing_picture_is_named_or_left_out_by_wish(pictures, tmp_path, capsys, kind):
    rng = np.random.default_rng(0)
    for path in pictures.rglob("*.png"):
        assert cv2.imwrite(str(path), rng.integers(0, 255, (300, 200), dtype=np.uint8))
    training = read_image_label_table(FIXTURE, pictures)
    gone = next(name for names in training[0].images.values() for name in names)
    (pictures / gone).unlink()
    images = packed(pictures, tmp_path / "array") if kind == "array" else pictures
    sets = [ImageLabelSet(table=str(FIXTURE), images=str(images))]

    with pytest.raises(TableError, match=Path(gone).stem):
        PretrainingData(DataSettings(image_label=sets)).setup("fit")
    data = PretrainingData(DataSettings(image_label=sets, skip_unreadable=True))
    data.setup("fit")

    assert "1 of" in capsys.readouterr().err
    left = {
        name
        for record in [*data._training, *data._validation]
        for names in record.images.values()
        for name in names
    }
    every = {name for one in training for names in one.images.values() for name in names}
    assert left == every - {gone}


def test_reports_of_patients_that_are_kept_for_evaluation_are_refused(pictures, tmp_path):
    rows = read_table(FIXTURE, VINDR_FINDINGS)
    test = rows[rows["split"] == "test"].iloc[0]
    head = "patient_id,laterality,CC,MLO,findings,impressions"
    row = f"{test['study_id']},L,{test['image_id']}.png,,a mass,category 4"
    (tmp_path / "reports.csv").write_text(f"{head}\n{row}\n")
    reports = ImageTextSet(table=str(tmp_path / "reports.csv"), images=str(pictures / "reports"))
    labels = ImageLabelSet(table=str(FIXTURE), images=str(pictures))

    with pytest.raises(TableError, match=f"1 patients .* {test['study_id']} among them"):
        PretrainingData(DataSettings(image_text=[reports], image_label=[labels])).setup("fit")
