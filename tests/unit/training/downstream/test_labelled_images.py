"""Tables with repeated rows, contradictions and faults become images, labels and parts."""

import numpy as np
import pytest
from PIL import Image

from training.data.table_mapping import read_mapping
from training.downstream.cases import Protocol, divide
from training.downstream.labelled_images import HELD_OUT, TEST, TRAINING, read_labelled
from training.downstream.tasks import CALCIFICATION, CANCER, DENSITY, MASS, own_task
from training.errors import SettingsError, TableError

VINDR = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
    "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
)
RSNA = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
    "density,machine_id,difficult_negative_case"
)


def vindr_row(study, image, categories="['No Finding']", split="training", density="B"):
    return f'{study},s,{image},L,CC,100,80,BI-RADS 1,DENSITY {density},"{categories}",,,,,,{split}'


def write(folder, name, lines):
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def vindr(tmp_path):
    """Ten training studies of one image, two of test; one image is named mass by two of 3 rows."""
    rows = [VINDR]
    for study in range(12):
        split = "test" if study >= 10 else "training"
        image = f"i{study}"
        touch(tmp_path, f"st{study}/{image}.png")
        rows.append(vindr_row(f"st{study}", image, split=split, density="ABCD"[study % 4]))
        if study % 5 == 0:
            rows += [vindr_row(f"st{study}", image, "['Mass']", split, "ABCD"[study % 4])] * 2
    return write(tmp_path, "finding_annotations.csv", rows)


def test_rows_are_published_cases_and_images_ours(vindr):
    data = read_labelled(vindr, [vindr.parent])

    published, honest = (divide(data, MASS, protocol) for protocol in Protocol)

    assert (len(published.test), published.test.labels.sum()) == (4, 2)
    assert (len(honest.test), honest.test.labels.sum()) == (2, 1)
    assert honest.test.labels[0] == 1  # the finding counts where rows contradict each other


@pytest.mark.parametrize("is_prepared", [False, True])
def test_table_of_breasts_is_read_by_itself(tmp_path, is_prepared):
    head = "study_id,series_id,image_id,laterality,view_position,height,width"
    rows = [f"{head},breast_birads,breast_density,split{',image' if is_prepared else ''}"]
    for study in range(12):
        image, split = f"i{study}", "test" if study >= 10 else "training"
        touch(tmp_path, f"st{study}/{image}.png")
        rows.append(
            f"st{study},s,{image},L,CC,100,80,BI-RADS {study % 5 + 1},"
            f"DENSITY {'ABCD'[study % 4]},{split}"
            + (f",st{study}/{image}.png" if is_prepared else "")
        )

    data = read_labelled(write(tmp_path, "breasts.csv", rows), [tmp_path])

    assert data.images["density"].tolist() == [0, 1, 2, 3] * 3
    assert data.images["part"].eq("test").sum() == 2


def test_published_training_counts_rows_and_weighs_them(vindr):
    division = divide(read_labelled(vindr, [vindr.parent]), MASS, Protocol.PUBLISHED)

    assert len(division.training) == 14
    assert division.positive_weight == pytest.approx(10 / 4)
    np.testing.assert_array_equal(division.choice.images, division.test.images)


def test_epochs_are_chosen_honestly_on_other_patients(vindr):
    division = divide(read_labelled(vindr, [vindr.parent]), MASS, Protocol.HONEST)
    parts = [set(part.patients) for part in (division.training, division.choice, division.test)]

    assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts)) == 12
    assert len(parts[1]) == 2


def test_a_share_draws_patients_honestly_and_rows_as_published(vindr):
    data = read_labelled(vindr, [vindr.parent])
    whole, half = (divide(data, MASS, Protocol.HONEST, percent) for percent in (100, 50))
    published = divide(data, MASS, Protocol.PUBLISHED, 50)

    assert len(set(half.training.patients)) == 4
    assert set(half.training.patients) < set(whole.training.patients)
    assert half.positive_weight == whole.positive_weight
    assert len(published.training) == 7


def test_density_has_four_classes(vindr):
    division = divide(read_labelled(vindr, [vindr.parent]), DENSITY, Protocol.PUBLISHED)

    assert set(division.training.labels) == {0, 1, 2, 3}
    assert division.positive_weight == 1


def rsna_rows(patients, *, folds=True):
    head = RSNA + (",fold" if folds else "")
    rows = [head]
    for patient in range(patients):
        for image in range(2):
            cancer = int(patient % 3 == 0)
            line = f"1,{patient},{patient}{image},L,CC,61,{cancer},0,0,1,0,C,m,False"
            rows.append(line + (f",{patient % 4}" if folds else ""))
    return rows


def test_breasts_are_judged_by_their_mean(tmp_path):
    touch(tmp_path, *(f"{p}/{p}{i}.dcm" for p in range(8) for i in range(2)))
    data = read_labelled(write(tmp_path, "train.csv", rsna_rows(8)), [tmp_path])

    division = divide(data, CANCER, Protocol.PUBLISHED)
    judged = division.test.joined(np.arange(4.0)[:, None])

    assert set(division.training.patients) == {"1", "2", "5", "6"}
    assert set(division.test.patients) == {"0", "4"}
    assert judged.scores[:, 0].tolist() == [0.5, 2.5]
    assert judged.labels.tolist() == [1, 0]
    assert set(divide(data, CANCER, Protocol.HONEST).choice.patients) == {"3", "7"}


def test_folds_are_made_where_the_table_has_none(tmp_path):
    touch(tmp_path, *(f"{p}{i}.png" for p in range(8) for i in range(2)))
    data = read_labelled(write(tmp_path, "train.csv", rsna_rows(8, folds=False)), [tmp_path])

    part_of = data.images.groupby("patient")["part"].nunique()

    assert (part_of == 1).all()
    assert set(data.images["part"]) == {TRAINING, HELD_OUT, TEST}


def test_own_table_without_a_split_is_for_calibration(tmp_path):
    touch(tmp_path, "a.png", "below/b.png")
    table = write(tmp_path, "own.csv", ["file,patient_id,mass", "a.png,1,0", "below/b.png,2,1"])

    data = read_labelled(table, [tmp_path])

    assert set(data.images["part"]) == {HELD_OUT}
    with pytest.raises(
        TableError, match="there is no column of labels for suspicious_calcification; it has mass"
    ):
        divide(data, CALCIFICATION, Protocol.HONEST)


def test_own_table_with_folds_is_divided_by_them(tmp_path):
    names = [f"{patient}.png" for patient in range(40)]
    touch(tmp_path, *names)
    rows = [
        f"{name},{number},{number % 3 == 0:d},{number % 4}" for number, name in enumerate(names)
    ]
    table = write(tmp_path, "own.csv", ["image,patient_id,mass,fold", *rows])

    data = read_labelled(table, [tmp_path])
    division = divide(data, MASS, Protocol.HONEST)

    assert (len(division.training), len(division.choice), len(division.test)) == (24, 6, 10)
    assert sorted(division.test.patients) == sorted(str(number) for number in range(0, 40, 4))


def test_own_table_says_its_split_in_the_words_of_mappings(tmp_path):
    words = ["train", "Training", "val", "valid", "validation", "test", "testing"]
    names = [f"{number}.png" for number in range(len(words))]
    touch(tmp_path, *names)
    rows = [f"{name},{name},0,{word}" for name, word in zip(names, words, strict=True)]
    table = write(tmp_path, "own.csv", ["file,patient_id,mass,split", *rows])

    parts = read_labelled(table, [tmp_path]).images["part"].tolist()

    assert parts == [TRAINING] * 2 + [HELD_OUT] * 3 + [TEST] * 2


def test_empty_label_of_an_own_table_is_unknown(tmp_path):
    names = [f"{number}.png" for number in range(12)]
    touch(tmp_path, *names)
    rows = [f"{name},{name},{('0', '1', '')[n % 3]},{n % 4}" for n, name in enumerate(names)]
    table = write(tmp_path, "own.csv", ["file,patient_id,mass,fold", *rows])

    division = divide(read_labelled(table, [tmp_path]), MASS, Protocol.HONEST)

    assert sorted(division.test.patients) == ["0.png", "4.png"]


def test_table_without_a_test_part_says_so(tmp_path):
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        Image.effect_noise((64, 64), 50).save(tmp_path / name)
    rows = [f"{name},{name},{n % 2},{n + 1}" for n, name in enumerate(names)]
    table = write(tmp_path, "own.csv", ["file,patient_id,mass,fold", *rows])
    said = []

    read_labelled(table, [tmp_path]).with_usable_pictures(skip=True, say=said.append)

    assert "own.csv: no image is of the test part" in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["file,patient_id,mass", "../own.csv,1,0"], "1 images are not under"),
        (["file,patient_id,mass", "/etc/hostname,1,0"], "1 images are not under"),
        (["file,patient_id,mass", "a.png,1,yes"], "neither 0 nor 1"),
        (["file,patient_id,density", "a.png,1,E"], "line 2, density"),
        (["file,patient_id,mass", "a.png,1,0", "a.png,1,1"], "is there twice"),
        (["file,patient_id,mass", "a.png,1,0", "./a.png,2,1"], "lines 2 and 3 name the same file"),
        (["file,patient_id,mass,split", "a.png,1,0,later"], "line 2, split: 'later' is none of"),
        (["sop_instance_uid,patient_id,mass", "1.2,1,0"], "`mammoclip-train prepare`"),
        (["patient,score"], "neither VinDr-Mammo's"),
        ([VINDR, vindr_row("s", "gone")], "1 images are not under"),
        ([VINDR, vindr_row("s", "twice")], "are there several times"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, lines, said):
    inside = tmp_path / "inside"
    touch(inside, "a.png", "one/twice.png", "two/twice.png")

    with pytest.raises(TableError, match=said):
        read_labelled(write(tmp_path, "own.csv", lines), [inside])


def test_nobody_can_be_held_out_of_one_patient(tmp_path):
    touch(tmp_path, "s/i.png")
    table = write(tmp_path, "t.csv", [VINDR, vindr_row("s", "i")])

    with pytest.raises(SettingsError, match="1 patients"):
        read_labelled(table, [tmp_path])


@pytest.mark.parametrize("mapped", [False, True])
def test_images_of_an_unknown_side_are_breasts_of_their_own(tmp_path, mapped):
    lines = ["file,patient_id,laterality,malignancy,split"]
    for number in range(12):
        touch(tmp_path, f"{number}.png")
        side = ("L", "L", "")[number % 3]
        part = "test" if number >= 6 else "train"
        lines.append(f"{number}.png,p{number // 3},{side},{number // 3 % 2},{part}")
    table = write(tmp_path, "own.csv", lines)
    (tmp_path / "map.toml").write_text(
        '[columns]\nimage = "file"\npatient = "patient_id"\nlaterality = "laterality"\n'
        'split = "split"\n[labels.malignancy]\ncolumn = "malignancy"\n'
    )
    mapping = read_mapping(str(tmp_path / "map.toml")) if mapped else None

    data = read_labelled(table, [tmp_path], mapping=mapping)
    without = write(tmp_path, "none.csv", [line.replace(",L,", ",,") for line in lines])

    assert data.images["breast"].nunique() == 8
    assert read_labelled(without, [tmp_path], mapping=mapping).images["breast"].nunique() == 12
    task = own_task("malignancy", "own.csv", ())
    (units,) = {len(set(divide(data, one, Protocol.HONEST).test.units)) for one in (task, CANCER)}
    assert units == 4


def test_no_usable_picture_is_refused_in_a_line(vindr):
    data = read_labelled(vindr, [vindr.parent])

    with pytest.raises(TableError, match=r"finding_annotations.csv: none of its pictures can be"):
        data.with_usable_pictures(skip=True, say=lambda words: None)
