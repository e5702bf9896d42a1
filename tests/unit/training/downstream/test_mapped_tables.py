"""The tables of public data sets go from their published columns to a probe and an evaluation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)
from small_bundles import SIZE

from mammoclip_core.manifest import read_manifest
from training.data.mapped_table import read_mapped
from training.data.table_mapping import read_mapping
from training.downstream.bundle_calibration import CalibrationOrder, calibrate
from training.downstream.calibration import OperatingTarget
from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
from training.downstream.labelled_images import TEST, read_labelled
from training.downstream.recipes import Training
from training.errors import SettingsError, TableError
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate

ROWS = 20


def values(number):
    return np.random.default_rng(number).integers(40, 200, SIZE).astype(np.uint8)


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), values(number))


def dicom(path, number, patient, laterality):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    data.SOPInstanceUID = generate_uid()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.PatientID, data.ImageLaterality, data.ViewPosition = patient, laterality, "CC"
    data.Modality, data.PresentationIntentType = "MG", "FOR PRESENTATION"
    data.Rows, data.Columns = SIZE
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = values(number).tobytes()
    data.save_as(path, enforce_file_format=True)


def write(path, lines, encoding="utf-8"):
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def embed(folder):
    """Ten patients, two images each; the first breast's two findings contradict each other."""
    images = ["empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition"]
    findings = ["empi_anon,acc_anon,numfind,side,asses,tissueden,massshape,calcfind,path_severity"]
    for patient in range(ROWS // 2):
        for side in "LR":
            picture(folder / f"{patient}" / f"{patient}{side}.png", patient)
            images.append(f"{patient},9{patient},/mnt/x/{patient}{side}.dcm,2D,{side},CC")
        has = patient % 2
        shape, severity = ("S", "0.0") if has else ("", "4.0")
        findings.append(f"{patient},9{patient},1,L,{'S' if has else 'N'},2.0,{shape},,{severity}")
        findings.append(f"{patient},9{patient},2,R,B,2.0,,A,")
    findings.append("0,90,3,L,S,2.0,R,,0.0")
    write(folder / "EMBED_OpenData_clinical.csv", findings)
    return write(folder / "EMBED_OpenData_metadata.csv", images)


def cbis(folder):
    """Patient 0 is in both parts, and two abnormalities of one image differ in pathology."""
    head = (
        "patient_id,{},left or right breast,image view,abnormality id,abnormality type,{},"
        "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
    )
    mass = head.format("breast_density", "mass shape,mass margins")
    calc = head.format("breast density", "calc type,calc distribution")
    files = {"mass_train": [mass], "mass_test": [mass], "calc_train": [calc], "calc_test": [calc]}
    for number in range(ROWS - 1):
        kind, part = ("Mass", "Calc")[number % 2], ("Training", "Test")[number % 3 == 2]
        patient = 0 if number == 2 else number
        case = f"{kind}-{part}_P_{patient:05}_LEFT_{('CC', 'MLO')[number == 2]}"
        picture(folder / case / "1.2" / "1.3" / "1-1.png", number)
        words = "OVAL,CIRCUMSCRIBED" if kind == "Mass" else "PLEOMORPHIC,CLUSTERED"
        what = "mass" if kind == "Mass" else "calcification"
        label = ("BENIGN_WITHOUT_CALLBACK", "MALIGNANT")[number % 4 == 0]
        row = (
            f"P_{patient:05},2,LEFT,{('CC', 'MLO')[number == 2]},1,{what},{words},4,{label},3,"
            f"{case}/1.2/1.3/000000.dcm,{case}_1/1/2/000001.dcm,{case}_1/1/2/000000.dcm"
        )
        file = files[f"{kind.lower()}_{'train' if part == 'Training' else 'test'}"]
        file.append(row)
        if number == 0:
            file.append(row.replace(",1,mass,", ",2,mass,").replace("MALIGNANT", "BENIGN"))
    for name, lines in files.items():
        kind, part = name.split("_")
        write(folder / f"{kind}_case_description_{part}_set.csv", lines)
    return folder / "mass_case_description_train_set.csv"


def cmmd(folder):
    lines = ["ID1,LeftRight,Age,number,abnormality,classification,subtype"]
    for patient in range(ROWS):
        name = f"D1-{patient:04}"
        dicom(folder / "CMMD" / name / "1-1.dcm", patient, name, "L")
        word = ("mass", "calcification", "both")[patient % 3]
        lines.append(f"{name},L,44,2,{word},{('Benign', 'Malignant')[patient % 2]},")
    return write(folder / "CMMD_clinicaldata_revision.csv", lines, "utf-16")


def inbreast(folder):
    lines = ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"]
    for number in range(ROWS):
        picture(
            folder / "AllDICOMs" / f"{20586900 + number}_{number:016x}_MG_R_CC_ANON.png", number
        )
        category = ("1", "2", "4a", "5")[number % 4]
        lines.append(f"removed;removed;R;CC;201001;{20586900 + number};{1 + number % 4};{category}")
    return write(folder / "INbreast.csv", lines)


def omi_db(folder):
    lines = [
        "ClientID,ClientStatus,Site,EpisodeID,EpisodeStatus,StudyInstanceUID,EventType,"
        "SeriesInstanceUID,SOPInstanceUID,NumberOfMarks,Model,PresentationIntentType,"
        "ImageLaterality,ViewPosition,PatientAgeYears"
    ]
    for number in range(ROWS):
        uid = f"1.2.{number}"
        picture(folder / f"demd{number}" / f"{uid}.png", number)
        status = ("N", "M", "NA", "B")[number % 4]
        lines.append(
            f"demd{number},{status},a,{number},{status},1,screening,2,{uid},0,X,FOR PRESENTATION,"
            "L,CC,61"
        )
    return write(folder / "summary.csv", lines)


def rsna(folder):
    lines = [
        "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
        "density,machine_id,difficult_negative_case"
    ]
    for number in range(ROWS):
        picture(folder / f"{number}" / f"{4000 + number}.png", number)
        cancer = number % 3 == 0
        lines.append(
            f"1,{number},{4000 + number},L,CC,61.0,{int(cancer)},{int(cancer)},{int(number % 2)},"
            f"{('0.0', '1.0', '2.0', '')[number % 4]},0,{'ABCD'[number % 4]},49,{not cancer}"
        )
    return write(folder / "train.csv", lines)


def vindr(folder):
    """One image has an asymmetry, a mass and a row without any finding."""
    lines = [
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
        "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    ]
    for number in range(ROWS - 2):
        picture(folder / f"s{number}" / f"i{number}.png", number)
        words = ("['No Finding']", "\"['Mass', 'Focal Asymmetry']\"", "['Skin Thickening']")
        row = f"s{number},x,i{number},L,CC,3518,2800,BI-RADS {number % 5 + 1},DENSITY B,"
        part = ("training", "test")[number % 4 == 3]
        lines.append(f"{row}{words[number % 3]},,,,,,{part}")
        if number == 1:
            lines += [f"{row}['No Finding'],,,,,,{part}", f"{row}['Asymmetry'],,,,,,{part}"]
    return write(folder / "finding_annotations.csv", lines)


SETS: dict[str, tuple[Callable[[Path], Path], str, int]] = {
    "embed": (embed, "invasive", 20),
    "cbis-ddsm": (cbis, "birads", 19),
    "cmmd": (cmmd, "malignancy", 20),
    "inbreast": (inbreast, "birads", 20),
    "omi-db": (omi_db, "malignant_episode", 20),
    "rsna": (rsna, "invasive", 20),
    "vindr": (vindr, "asymmetry", 18),
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Folder and table of each set."""
    made = {}
    for name, (writer, _, _) in SETS.items():
        folder = tmp_path_factory.mktemp(name)
        made[name] = folder, writer(folder)
    return made


@pytest.mark.parametrize("name", SETS)
def test_published_table_goes_to_a_probe_and_an_evaluation(name, tables, small_bundle, tmp_path):
    folder, table = tables[name]
    _, task, count = SETS[name]
    whole = read_mapping(name)
    mapping = replace(whole, labels={task: whole.labels[task]})

    make_head(
        HeadOrder(
            bundle=small_bundle,
            table=table,
            images=(folder,),
            head=task,
            training=Training.PROBE,
            out=tmp_path / "probe",
            epochs=1,
            mapping=mapping,
        )
    )
    report = evaluate(
        EvaluationOrder(
            bundle=small_bundle,
            table=table,
            mapping=mapping,
            images=(folder,),
            out=tmp_path / "judged",
            only=("probe",),
            epochs=1,
            percents=(100,),
            repeats=20,
        )
    )

    assert (tmp_path / "probe" / HEAD_NAME).is_file()
    assert f"{count} images of" in report.made_with["own table"]
    judged = {figure.task for figure in report.figures if figure.honest is not None}
    assert f"{task} of {table.name}" in judged


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("cmmd", ("Benign", "Malignant"), "1-1.dcm differs in malignancy"),
        ("inbreast", (";1", ";5"), "_ANON.png differs in birads"),
        ("rsna", (",49,False", ",49,True"), "4000.png differs in difficult_negative"),
        ("omi-db", (",N,1,", ",M,1,"), "1.2.0.png differs in malignant_episode"),
    ],
)
def test_rows_that_say_other_things_of_an_image_are_named(tables, tmp_path, name, change, words):
    folder, table = tables[name]
    encoding = "utf-16" if name == "cmmd" else "utf-8"
    lines = table.read_text(encoding=encoding).splitlines()
    left, right = lines[1].rsplit(change[0], 1)
    changed = write(tmp_path / table.name, [*lines, lines[1], left + change[1] + right], encoding)

    with pytest.raises(TableError, match=rf"line 2 \(\d\) and line 23 \(\d\): .*{words}"):
        read_mapped(changed, read_mapping(name), [folder])


def test_finding_counts_where_two_of_a_breast_contradict_each_other(tables):
    folder, table = tables["embed"]
    read = read_mapped(table, read_mapping("embed"), [folder])
    image = read.images.set_index(["patient", "laterality"])

    assert image.loc[("0", "L"), ["mass", "asymmetry", "invasive", "birads"]].tolist() == [
        1,
        0,
        1,
        3,
    ]
    assert image.loc[("0", "R"), ["mass", "invasive", "suspicious_calcification"]].tolist() == [
        0,
        -1,
        1,
    ]
    assert any("line 2, EMBED_OpenData_clinical.csv line 22 (1)" in note for note in read.notes)


def test_word_of_a_list_counts_beside_a_row_without_a_finding(tables):
    folder, table = tables["vindr"]
    read = read_mapped(table, read_mapping("vindr"), [folder])
    first, second, third = (read.images.iloc[place] for place in range(3))

    names = ["mass", "asymmetry", "birads", "density"]
    assert [list(image[names]) for image in (first, second, third)] == [
        [0, 0, 0, 1],
        [1, 1, 1, 1],
        [0, 0, 2, 1],
    ]
    assert any("line 3 (1) and line 4 (0)" in note for note in read.notes)


def test_fold_of_the_table_counts_where_it_has_one(tables):
    folder, table = tables["rsna"]
    lines = table.read_text().splitlines()
    folded = [f"{line},{number % 5}" for number, line in enumerate(lines[1:])]
    with_folds = write(folder / "train_folds.csv", [lines[0] + ",fold", *folded])

    splits = [
        read_mapped(one, read_mapping("rsna"), [folder]).images["split"].tolist()
        for one in (table, with_folds)
    ]

    assert splits[0].count("test") == 5
    assert [place for place, split in enumerate(splits[1]) if split == "test"] == [0, 5, 10, 15]


def test_patient_of_both_parts_is_trained_on(tables):
    folder, table = tables["cbis-ddsm"]
    data = read_labelled(table, [folder], mapping=read_mapping("cbis-ddsm"))

    assert TEST not in set(data.images["part"][data.images["patient"] == "P_00000"])
    assert any("patient P_00000 is in several splits" in note for note in data.notes)
    assert any("differ in malignancy" in note for note in data.notes)


OWN = """
[columns]
image = "Datei"
patient = "Pat"
laterality = "Seite"
split = "Teil"

[values.laterality]
links = "L"
rechts = "R"

[labels.asymmetry]
column = "Asymmetrie"

[labels.risk]
column = "Risiko"
classes = ["low", "middle", "high"]

[labels.malignancy]
column = "Krebs"
"""


@pytest.fixture
def own(tmp_path):
    """Semicolons, words of another language, and labels of one's own."""
    lines = ["Datei;Pat;Seite;Teil;Asymmetrie;Risiko;Krebs"]
    for number in range(ROWS):
        picture(tmp_path / f"{number}.png", number)
        part = ("train", "test")[number % 4 == 3]
        risk = ("low", "middle", "high")[number % 3]
        asymmetry = ("FALSE", "TRUE")[number // 2 % 2]
        cancer = ("0", "1", "")[number % 3]
        lines.append(f"{number}.png;p{number};links;{part};{asymmetry};{risk};{cancer}")
    (tmp_path / "map.toml").write_text(OWN)
    return write(tmp_path / "own.csv", lines)


@pytest.mark.parametrize("task", ["asymmetry", "risk"])
def test_label_of_ones_own_is_fine_tuned_or_probed(own, task, small_bundle):
    order = HeadOrder(
        bundle=small_bundle,
        table=own,
        images=(own.parent,),
        head=task,
        training=Training.FINE_TUNE if task == "risk" else Training.PROBE,
        out=own.parent / "out",
        epochs=1,
        mapping=read_mapping(str(own.parent / "map.toml")),
    )

    report = make_head(order)

    measures = {figure.measure for figure in report.figures}
    assert ("quadratic kappa" in measures) == (task == "risk")
    assert ("AUROC" in measures) == (task == "asymmetry")


def test_unknown_labels_calibrate_nothing(own, small_bundle):
    order = CalibrationOrder(
        bundle=small_bundle,
        table=own,
        images=(own.parent,),
        out=own.parent / "calibrated",
        target=OperatingTarget(sensitivity=0.9),
        part="all",
        mapping=read_mapping(str(own.parent / "map.toml")),
    )

    (point,) = calibrate(order).values()

    assert 0 < point.threshold < 1
    entry = read_manifest(own.parent / "calibrated").findings
    assert any(
        "7 of 14 positive" in item.operating_point.data for item in entry if item.operating_point
    )


def test_every_contradiction_is_named_by_its_rows(own):
    more = [
        "0.png;p0;links;train;TRUE;low;0",
        "1.png;p1;rechts;train;FALSE;middle;1",
        "2.png;p9;links;test;TRUE;high;",
        "4.png;p4;oben;train;FALSE;middle;1",
        "5.png;p5;links;train;maybe;high;1",
    ]
    lines = own.read_text().splitlines()
    write(own, lines + more[:3])
    mapping = read_mapping(str(own.parent / "map.toml"))

    with pytest.raises(TableError) as caught:
        read_mapped(own, mapping, [own.parent])

    message = str(caught.value)
    assert "line 2 (0) and line 22 (1): 0.png differs in asymmetry" in message
    assert "line 3 (L) and line 23 (R): 1.png has several values of laterality" in message
    assert "line 4 (p2) and line 24 (p9): 2.png has several values of patient" in message
    assert "line 11 (training) and line 24 (test): patient p9 is in several splits" in message
    write(own, lines + more[3:])
    with pytest.raises(TableError) as caught:
        read_mapped(own, mapping, [own.parent])
    assert "line 22, Seite: 'oben'" in str(caught.value)
    assert "line 23, Asymmetrie: 'maybe'" in str(caught.value)


def test_head_of_ones_own_goes_into_no_bundle(own, small_bundle):
    order = HeadOrder(
        bundle=small_bundle,
        table=own,
        images=(own.parent,),
        head="risk",
        training=Training.PROBE,
        out=own.parent / "out",
        into=own.parent / "bundle",
        mapping=read_mapping(str(own.parent / "map.toml")),
    )

    with pytest.raises(SettingsError, match="leave --into out"):
        make_head(order)
