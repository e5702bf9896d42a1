"""``mammoclip-train prepare``: the published pictures, the boxes moved along, every fault named."""

import ast
import shutil

import cv2
import numpy as np
import pytest
from published_preprocessing import described_crop, described_grey, described_picture
from sample_images import further, sample
from typer.testing import CliRunner

from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.manifest import PUBLISHED_MODE, Preprocessing
from training.commands.train import app
from training.data.boxed_images import read_boxed_images
from training.data.breast_records import read_image_text_table
from training.data.splits import check_no_leak
from training.data.table_formats import RSNA, VINDR_BREASTS, VINDR_FINDINGS
from training.data.table_reading import read_table
from training.reports.report_synthesis import Attribute
from training.reports.report_text import draw_texts

SHIPPED = ("film/LCC.dcm", "phantom/RMLO.dcm")
FURTHER = ("full_field/LCC.dcm", "four_views/RMLO.dcm")
SMALL = ("--rows", "190", "--columns", "114")


def prepare(source, out, *further, code=0):
    result = CliRunner().invoke(app, ["prepare", str(source), "--out", str(out), *further])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("names", [SHIPPED, further(FURTHER)], ids=["shipped", "further"])
def test_mammograms_give_the_published_crop_to_the_bit(names, tmp_path, cells):
    source = tmp_path / "source"
    for name in names:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample(name), target)

    prepare(source, tmp_path / "out", "--processes", "2")

    table = cells(tmp_path / "out/pictures.csv").set_index("file")
    assert sorted(table.index) == sorted(names)
    for name, row in table.iterrows():
        stored = read_pixels(sample(name))
        picture = cv2.imread(str(tmp_path / "out/png" / row["image"]), cv2.IMREAD_UNCHANGED)
        columns, rows = described_crop(described_grey(stored))
        edges = (columns[0] + 5, rows[0] + 5, columns[-1] + 6, rows[-1] + 6)
        names = ("crop_left", "crop_top", "crop_right", "crop_bottom")
        assert tuple(int(row[edge]) for edge in names) == edges
        np.testing.assert_array_equal(picture, described_picture(stored, 1520, 912))


def test_box_stays_on_what_it_marks(tmp_path, mammogram, breast, cells):
    bright = breast.copy()
    bright[60:80, 30:70] = 4000
    mammogram(tmp_path / "in/S1/I1.dicom", bright)
    findings = tmp_path / "findings.csv"
    findings.write_text(
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
        "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split\n"
        "S1,E1,I1,L,MLO,220,150,BI-RADS 4,DENSITY B,['Mass'],BI-RADS 4,30,60,70,80,training\n"
        "S1,E1,I1,L,MLO,220,150,BI-RADS 4,DENSITY B,['No Finding'],,,,,,training\n",
        encoding="utf-8",
    )

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(findings), *SMALL)

    rows = read_table(tmp_path / "out/findings.csv", VINDR_FINDINGS)
    picture = cv2.imread(str(tmp_path / "out/png/S1/I1.png"), cv2.IMREAD_UNCHANGED)
    lit = np.argwhere(picture > 180)
    (top, left), (bottom, right) = lit.min(axis=0), lit.max(axis=0) + 1
    box = rows.iloc[0][["resized_xmin", "resized_ymin", "resized_xmax", "resized_ymax"]]
    assert box.tolist() == pytest.approx([left, top, right, bottom], abs=1.0)
    assert cells(tmp_path / "out/findings.csv").loc[1, "resized_xmin"] == ""
    (image,) = read_boxed_images(tmp_path / "out/findings.csv", [tmp_path / "out/png"])
    seen = image.prepared(Preprocessing(mode=PUBLISHED_MODE, rows=95, columns=57, mean=0, std=1))
    halved = np.array([left, top, right, bottom]) / 2
    assert image.boxes_on(Attribute.MASS, seen)[0] == pytest.approx(halved, abs=0.5)


def test_published_tables_come_back_with_their_pictures(phantoms, tmp_path):
    out = tmp_path / "out"
    names = ("finding_annotations.csv", "breast-level_annotations.csv", "rsna_train.csv")
    tables = [word for name in names for word in ("--table", str(phantoms / name))]

    prepare(phantoms / "dicom", out, *tables, *SMALL, "--processes", "2")

    for name, layout in zip(names, (VINDR_FINDINGS, VINDR_BREASTS, RSNA), strict=True):
        before, after = read_table(phantoms / name, layout), read_table(out / name, layout)
        assert len(before) == len(after)
        assert all((out / "png" / image).is_file() for image in after["image"])


def test_second_run_makes_no_picture_again(phantoms, tmp_path):
    table = ("--table", str(phantoms / "breast-level_annotations.csv"))
    prepare(phantoms / "dicom", tmp_path, *table, *SMALL)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}

    said = prepare(phantoms / "dicom", tmp_path, *table, *SMALL)

    assert "0 pictures made, 32 were there already" in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == made


def test_changed_file_is_prepared_again(tmp_path, mammogram, breast):
    mammogram(tmp_path / "in/a.dcm", breast)
    mammogram(tmp_path / "in/b.dcm", breast)
    prepare(tmp_path / "in", tmp_path / "out", *SMALL)
    mammogram(tmp_path / "in/a.dcm", breast[::-1])

    said = prepare(tmp_path / "in", tmp_path / "out", *SMALL)

    assert "1 pictures made, 1 were there already" in said


def test_folder_of_another_size_is_refused(tmp_path, mammogram, breast):
    mammogram(tmp_path / "in/a.dcm", breast)
    prepare(tmp_path / "in", tmp_path / "out", *SMALL)

    said = prepare(tmp_path / "in", tmp_path / "out", code=1)

    assert "rows 190" in said.replace("\n", " ")
    assert "rows 1520" in said.replace("\n", " ")


def test_pictures_of_others_are_left_alone(phantoms, tmp_path):
    shutil.copytree(phantoms / "png", tmp_path / "png")

    said = prepare(phantoms / "dicom", tmp_path, *SMALL, code=1)

    assert "were not made here" in said


def test_one_bad_file_stops_no_other(tmp_path, mammogram, breast, cells):
    source = tmp_path / "in"
    mammogram(source / "good.dcm", breast)
    kept = mammogram(source / "cut.dcm", breast)
    (source / "cut.dcm").write_bytes((source / "cut.dcm").read_bytes()[:-9000])
    (source / "text.dcm").write_text("no DICOM", encoding="utf-8")
    mammogram(source / "black.dcm", np.zeros((220, 150)))
    (source / "notes.txt").write_text("passed over", encoding="utf-8")

    said = prepare(source, tmp_path / "out", *SMALL, code=1)

    errors = cells(tmp_path / "out/errors.csv").set_index("file")
    assert sorted(errors.index) == ["black.dcm", "cut.dcm", "text.dcm"]
    assert errors.loc["cut.dcm", "sop_instance_uid"] == kept.SOPInstanceUID
    assert "truncated" in errors.loc["cut.dcm", "reason"]
    assert all(f"{name}: " in said for name in errors.index)
    assert cells(tmp_path / "out/pictures.csv")["file"].tolist() == ["good.dcm"]


def test_two_patients_of_one_file_name_are_told_apart(tmp_path, mammogram, breast, cells):
    mammogram(tmp_path / "in/P1/LCC.dcm", breast)
    mammogram(tmp_path / "in/P2/LCC.dcm", breast[::-1])
    labels = tmp_path / "labels.csv"
    labels.write_text("image_id,patient_id\nLCC,P2\n", encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(labels), *SMALL)

    assert cells(tmp_path / "out/pictures.csv")["file"].tolist() == ["P2/LCC.dcm"]


def test_no_name_leads_out_of_the_folder(tmp_path, mammogram, breast, cells):
    source = tmp_path / "in"
    mammogram(tmp_path / "outside.dcm", breast)
    mammogram(source / "inside.dcm", breast)
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        mammogram(source / "evil.dcm", breast[::-1], SOPInstanceUID="../../../evil")
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "file,patient_id,image_id\n"
        "inside.dcm,../..,../../escaped\n"
        "evil.dcm,/etc,\n"
        "../outside.dcm,P1,a\n"
        f"{tmp_path / 'outside.dcm'},P1,b\n",
        encoding="utf-8",
    )
    before = set(tmp_path.rglob("*"))

    said = prepare(source, tmp_path / "out", "--table", str(labels), *SMALL, code=1)

    new = [path for path in set(tmp_path.rglob("*")) - before if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "out") for path in new)
    assert len(cells(tmp_path / "out/labels.csv")) == 2
    assert said.count("outside") >= 2


def test_reports_become_the_table_that_pretraining_reads(tmp_path, mammogram, breast):
    reports = ["patient_id,image_id,FINDINGS,IMPRESSION,fold"]
    for patient in ("P1", "P2"):
        for number, (side, view) in enumerate((("L", "CC"), ("L", "MLO"), ("R", "ML")), start=1):
            name = f"{patient}-{number}"
            mammogram(tmp_path / f"in/{name}.dcm", breast, ImageLaterality=side, ViewPosition=view)
            reports.append(f'{patient},{name}.png,"No mass is seen. BI-RADS 1.",,{patient[1]}')
    table = tmp_path / "reports.csv"
    table.write_text("\n".join(reports), encoding="utf-8")

    said = prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL, code=1)

    records = read_image_text_table(tmp_path / "out/image_text.csv")
    assert [(item.patient_id, item.laterality, item.fold) for item in records] == [
        ("P1", "L", 1),
        ("P2", "L", 2),
    ]
    assert records[0].images == {"CC": ("P1/P1-1.png",), "MLO": ("P1/P1-2.png",)}
    assert records[0].report.findings == ("no mass is seen",)
    assert "P1 R: neither a CC nor an MLO image" in said


def test_sentences_of_a_report_are_told_apart_and_shuffled_after_preparation(
    tmp_path, mammogram, breast
):
    said = "The breast is dense. There is an oval mass. No calcification is seen. Skin is normal."
    lines = ["patient_id,image_id,FINDINGS,IMPRESSION,fold"]
    for patient in ("P1", "P2"):
        mammogram(tmp_path / f"in/{patient}.dcm", breast, ImageLaterality="L", ViewPosition="CC")
        lines.append(f'{patient},{patient}.png,"{said}",,{patient[1]}')
    table = tmp_path / "reports.csv"
    table.write_text("\n".join(lines), encoding="utf-8")

    prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL)

    (report, _) = (item.report for item in read_image_text_table(tmp_path / "out/image_text.csv"))
    assert len(report.findings) == 4
    generator = np.random.default_rng(1)
    assert len({draw_texts(report, generator)[0] for _ in range(300)}) == 24


def test_image_text_table_keeps_the_images_that_could_be_read(phantoms, tmp_path):
    source = tmp_path / "in"
    shutil.copytree(phantoms / "dicom", source)
    table = phantoms / "image_text.csv"
    first = read_image_text_table(table)[0]
    broken = source / first.images["CC"][0].replace(".png", ".dcm")
    broken.write_bytes(b"")

    prepare(source, tmp_path / "out", "--table", str(table), *SMALL, code=1)

    records = read_image_text_table(tmp_path / "out/image_text.csv")
    assert records[0].images == {"MLO": first.images["MLO"]}
    assert len(records) == 16
    images = [name for item in records for names in item.images.values() for name in names]
    assert all((tmp_path / "out/png" / name).is_file() for name in images)


def test_table_of_another_image_is_named(phantoms, tmp_path, mammogram, breast):
    shutil.copytree(phantoms / "dicom", tmp_path / "in")
    table = phantoms / "finding_annotations.csv"
    row = read_table(table, VINDR_FINDINGS).iloc[0]
    mammogram(tmp_path / f"in/{row['study_id']}/{row['image_id']}.dcm", breast)

    said = prepare(tmp_path / "in", tmp_path / "out", "--table", str(table), *SMALL, code=1)

    assert "the table says 190 x 114 pixels, the file has 220 x 150" in said


def test_folds_tear_no_patient_apart(phantoms, tmp_path, cells):
    table = tmp_path / "labels.csv"
    labels = cells(phantoms / "rsna_train.csv")[["patient_id", "image_id", "cancer"]]
    labels.to_csv(table, index=False)

    prepare(phantoms / "dicom", tmp_path / "out", "--table", str(table), *SMALL)

    rows = cells(tmp_path / "out/labels.csv")
    check_no_leak(rows["patient_id"].tolist(), rows["fold"].tolist())
    assert set(rows["fold"]) == {"0", "1", "2", "3"}


def test_file_that_is_mended_later_moves_nobody_to_another_fold(phantoms, tmp_path, cells):
    source = tmp_path / "in"
    shutil.copytree(phantoms / "dicom", source)
    table = tmp_path / "labels.csv"
    labels = cells(phantoms / "rsna_train.csv")[["patient_id", "image_id", "cancer"]]
    labels.to_csv(table, index=False)
    patient = labels["patient_id"][0]
    shutil.move(source / patient, tmp_path / "away")
    prepare(source, tmp_path / "out", "--table", str(table), *SMALL, code=1)
    before = cells(tmp_path / "out/labels.csv").set_index("image_id")["fold"]
    shutil.move(tmp_path / "away", source / patient)

    prepare(source, tmp_path / "out", "--table", str(table), *SMALL)

    after = cells(tmp_path / "out/labels.csv").set_index("image_id")["fold"]
    assert len(after) == 32
    assert after[before.index].tolist() == before.tolist()


def test_patient_in_two_splits_is_refused_before_anything_is_made(phantoms, tmp_path, cells):
    rows = cells(phantoms / "breast-level_annotations.csv")
    rows.loc[0, "split"] = "test" if rows.loc[0, "split"] == "training" else "training"
    rows.loc[5, "laterality"] = "X"
    torn, bad = tmp_path / "torn.csv", tmp_path / "bad.csv"
    rows.drop(index=5).to_csv(torn, index=False)
    rows.drop(index=0).to_csv(bad, index=False)

    said = prepare(
        phantoms / "dicom", tmp_path / "out", "--table", str(torn), "--table", str(bad), code=1
    )

    assert "1 of 8 groups are in several parts" in said
    assert "line 6, laterality" in said
    assert not (tmp_path / "out").exists()


def test_no_patient_is_named(tmp_path, mammogram, breast):
    mammogram(tmp_path / "in/a.dcm", breast)
    (tmp_path / "in/b.dcm").write_bytes((tmp_path / "in/a.dcm").read_bytes()[:-9000])

    said = prepare(tmp_path / "in", tmp_path / "out", *SMALL, code=1)

    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    content = said + "".join(f"{path} {path.read_bytes().decode('latin-1')}" for path in written)
    assert "Doe" not in content
    assert "4711" not in content


def test_views_of_a_breast_are_all_named_in_their_lists(phantoms, tmp_path, cells):
    prepare(phantoms / "dicom", tmp_path, "--table", str(phantoms / "image_text.csv"), *SMALL)

    row = cells(tmp_path / "image_text.csv").loc[0]
    assert set(ast.literal_eval(row["image"])) == {
        *ast.literal_eval(row["CC"]),
        *ast.literal_eval(row["MLO"]),
    }
