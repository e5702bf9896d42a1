"""Labels become sentences of the lexicon in an image-text table that pretraining reads."""

import pytest
from typer.testing import CliRunner

from training.commands.train import app as train
from training.data.breast_records import read_image_text_table
from training.data.table_mapping import read_mapping
from training.data.table_reading import read_cells
from training.errors import TableError
from training.preparation.structured_captions import write_captions

MAPPING = """
[columns]
image = "file"
patient = "patient"
laterality = "side"
view = "view"
split = "split"

[labels.mass]
column = "mass"

[labels.asymmetry]
column = "asymmetry"

[labels.birads]
column = "birads"
classes = ["1", "2", "3", "4", "5"]

[labels.density]
column = "density"
classes = ["A", "B", "C", "D"]

[terms.mass]
shape = "shape"
"""
ROWS = (
    "file,patient,side,view,split,mass,asymmetry,birads,density,shape",
    "a.png,1,L,CC,train,1,0,4,B,OVAL",
    "b.png,1,L,MLO,train,0,0,4,B,",
    "c.png,2,R,CC,train,0,,1,,",
    "d.png,3,R,CC,test,1,1,5,D,ROUND",
    "e.png,4,R,CC,train,,,,,",
)


@pytest.fixture
def own(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.png").write_bytes(b"x")
    (tmp_path / "map.toml").write_text(MAPPING)
    (tmp_path / "own.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path


def written(folder, name="captions.csv"):
    mapping = read_mapping(str(folder / "map.toml"))
    counts = write_captions(folder / "own.csv", mapping, folder, folder / name)
    return counts, read_image_text_table(folder / name)


def test_breast_is_described_by_its_labels(own):
    counts, (first, second) = written(own)

    assert (counts.breasts, counts.silent) == (2, 1)
    assert first.images == {"CC": ("a.png",), "MLO": ("b.png",)}
    mass, asymmetry, density = first.report.findings
    assert "oval" in mass
    assert "left breast" in mass
    assert "no" in asymmetry.split()
    assert "scattered areas of fibroglandular density" in density
    assert first.report.impression == ("the assessment is bi rads category 4",)
    assert [("no" in line.split()) for line in second.report.findings] == [True]


def test_command_writes_the_table(own):
    arguments = ["--table", "own.csv", "--mapping", "map.toml", "--images", ".", "--out", "by.csv"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(own)
        done = CliRunner().invoke(train, ["captions", *arguments], catch_exceptions=False)

    assert done.exit_code == 0
    assert "2 breasts; 1 left out" in done.stderr
    assert len(read_image_text_table(own / "by.csv")) == 2


def test_patients_of_the_test_part_are_left_out(own):
    _, records = written(own)

    assert {record.patient_id for record in records} == {"1", "2"}


def test_same_seed_gives_the_same_words(own):
    assert written(own)[1] == written(own, "again.csv")[1]


def test_table_of_which_nothing_can_be_said_is_refused(own):
    (own / "own.csv").write_text("\n".join([ROWS[0], ROWS[-1]]) + "\n")

    with pytest.raises(TableError, match="no sentence for any breast"):
        written(own)


def test_held_out_patients_of_the_table_are_those_that_pretraining_holds_out(own):
    rows = [row.replace("2,R,CC,train", "2,R,CC,val") for row in ROWS]
    (own / "own.csv").write_text("\n".join(rows) + "\n")

    _, records = written(own)

    assert {record.patient_id: record.fold for record in records} == {"1": 1, "2": 0}


def test_table_is_of_the_published_form_with_the_folds_that_pretraining_draws(own):
    ids = range(10, 22)
    rows = [f"{number}.png,{number},L,CC,train,1,0,4,B,OVAL" for number in ids]
    for number in ids:
        (own / f"{number}.png").write_bytes(b"x")
    (own / "own.csv").write_text("\n".join([ROWS[0], *rows]) + "\n")

    _, records = written(own)
    table = read_cells(own / "captions.csv")
    table.drop(columns="fold").to_csv(own / "without.csv", index=False)
    drawn = read_image_text_table(own / "without.csv")

    assert {"image", "view", "CC", "MLO", "text", "findings", "impressions"} < set(table.columns)
    assert table["image"].iloc[0] == "['10.png']"
    assert table["view"].iloc[0] == "['CC']"
    folds = [record.fold for record in records]
    assert set(folds) == {0, 1, 2, 3}
    assert folds == [record.fold for record in drawn]


def test_captions_name_linked_pictures_below_the_folder(own, tmp_path):
    (own / "b.png").rename(own / "elsewhere.png")
    (own / "b.png").symlink_to(own / "elsewhere.png")
    (own / "set").symlink_to(own)
    mapping = read_mapping(str(own / "map.toml"))

    write_captions(own / "own.csv", mapping, own / "set", own / "captions.csv")

    first, *_ = read_image_text_table(own / "captions.csv")
    assert first.images == {"CC": ("a.png",), "MLO": ("b.png",)}
