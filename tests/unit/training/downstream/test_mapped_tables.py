"""The tables of public data sets go from their published columns to a probe and an evaluation."""

from dataclasses import replace

import pytest
from published_sets import ROWS, SETS, picture, write

from mammoclip_core.manifest import read_manifest
from training.data.mapped_table import read_mapped
from training.data.table_mapping import UNKNOWN, read_mapping
from training.data.table_reading import read_cells
from training.downstream.bundle_calibration import CalibrationOrder, calibrate
from training.downstream.calibration import OperatingTarget
from training.downstream.head_calibration import calibrate_head
from training.downstream.head_training import HEAD_NAME, HeadOrder, make_head
from training.downstream.labelled_images import TEST, read_labelled
from training.downstream.recipes import Training
from training.errors import SettingsError, TableError
from training.evaluation.bundle_evaluation import EvaluationOrder, evaluate


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


@pytest.mark.parametrize(("fold", "words"), [("two", "'two' is not a whole"), ("", "'' is not a")])
def test_fold_that_is_no_number_is_named(tables, tmp_path, fold, words):
    folder, table = tables["rsna"]
    lines = table.read_text().splitlines()
    folded = [f"{line},{number % 5}" for number, line in enumerate(lines[1:])]
    folded[3] = f"{lines[4]},{fold}"
    with_folds = write(tmp_path / "train.csv", [lines[0] + ",fold", *folded])

    with pytest.raises(TableError, match=f"line 5, fold: {words}"):
        read_mapped(with_folds, read_mapping("rsna"), [folder])


def test_age_is_read_where_the_set_gives_it(tables):
    folder, table = tables["cmmd"]
    data = read_labelled(table, [folder], mapping=read_mapping("cmmd"))

    assert set(data.images["age"]) == {44.0}


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


def test_rows_are_named_by_their_lines_where_cells_hold_several(own):
    lines = [f"{line};" for line in own.read_text().splitlines()]
    lines[0] += "Text"
    lines[1] += '"one\ntwo\n\nthree"'
    lines[5] = lines[5].replace("links", "oben")
    write(own, lines)

    with pytest.raises(TableError, match="line 9, Seite: 'oben'"):
        read_mapped(own, read_mapping(str(own.parent / "map.toml")), [own.parent])


def test_label_that_is_no_task_without_a_mapping_says_so(own, small_bundle):
    order = HeadOrder(
        bundle=small_bundle,
        table=own,
        images=(own.parent,),
        head="Risiko",
        training=Training.PROBE,
        out=own.parent / "out",
    )

    with pytest.raises(SettingsError, match=r"'Risiko': .*; --mapping makes other labels of a tab"):
        make_head(order)


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


@pytest.mark.parametrize("name", ["cancer", "calcification"])
def test_label_that_is_called_as_a_task_of_another_label_is_meant_itself(
    own, tmp_path, small_bundle, name
):
    """The built-in tasks of these names learn malignancy and suspicious calcification."""
    (tmp_path / "map.toml").write_text(OWN.replace("[labels.asymmetry]", f"[labels.{name}]"))
    mapping = read_mapping(str(tmp_path / "map.toml"))
    order = HeadOrder(
        bundle=small_bundle,
        table=own,
        images=(tmp_path,),
        head=name,
        training=Training.PROBE,
        out=tmp_path / "probe",
        epochs=1,
        mapping=mapping,
    )

    with pytest.raises(SettingsError, match=f"not the label {name}: call the label one of these"):
        make_head(replace(order, into=tmp_path / "into"))
    report = make_head(order)
    calibrate_head(
        CalibrationOrder(
            bundle=small_bundle,
            table=own,
            images=(tmp_path,),
            mapping=mapping,
            out=tmp_path / "calibrated",
            findings=(name,),
            part="all",
            target=OperatingTarget(sensitivity=0.9),
        ),
        tmp_path / "probe" / HEAD_NAME,
    )

    assert {figure.task for figure in report.figures} == {f"{name} of own.csv"}
    answers = read_cells(tmp_path / "calibrated" / "answers.csv")
    mapped = read_mapped(own, mapping, [tmp_path]).images
    assert answers[name].astype(int).tolist() == mapped[name].tolist()
    assert mapped[name].tolist() != mapped["malignancy"].tolist()


def test_birads_0_of_inbreast_is_unknown(tables, tmp_path):
    folder, table = tables["inbreast"]
    first, *lines = table.read_text().splitlines()
    lines[0] = lines[0].rsplit(";", 1)[0] + ";0"
    changed = write(tmp_path / table.name, [first, *lines])

    images = read_mapped(changed, read_mapping("inbreast"), [folder]).images

    assert images[["birads", "suspicious"]].iloc[0].tolist() == [UNKNOWN, UNKNOWN]
    assert (images[["birads", "suspicious"]].iloc[1:] != UNKNOWN).all(axis=None)
