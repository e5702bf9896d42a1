"""Pictures in one array are what pretraining is shown of the pictures themselves."""

import json
import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from training.commands.train import app
from training.data.image_source import ImageArray, PictureFolder, image_source
from training.errors import TableError
from training.preparation import picture_array
from training.pretraining.data_module import DataSettings, ImageTextSet, PretrainingData

SIZE = (96, 64)
NAMES = ("a/1.png", "a/2.png", "b/1.png", "c.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of the size, and one of another."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "png" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (150, 100) if number == 1 else SIZE
        values = np.random.default_rng(number).integers(50, 200, size).astype(np.uint8)
        cv2.imwrite(str(path), cv2.GaussianBlur(values, (0, 0), 2))
    return tmp_path / "png"


def pack(folder: Path, out: Path, *further: str) -> tuple[int, str]:
    size = ("--rows", str(SIZE[0]), "--columns", str(SIZE[1]))
    result = CliRunner().invoke(app, ["pack", str(folder), "--out", str(out), *size, *further])
    return result.exit_code, result.output


def test_array_shows_what_the_pictures_show(pictures: Path, tmp_path: Path) -> None:
    code, output = pack(pictures, tmp_path / "array")

    assert code == 0, output
    source = image_source(tmp_path / "array", SIZE)
    assert isinstance(source, ImageArray)
    folder = PictureFolder(pictures, SIZE)
    for name in NAMES:
        torch.testing.assert_close(source(name), folder(name), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("size", [SIZE, (1520, 912), (150, 100)])
def test_picture_of_more_bits_is_the_same_in_the_array(
    tmp_path: Path, size: tuple[int, int], bits: int
) -> None:
    (tmp_path / "png").mkdir()
    values = np.random.default_rng(bits).random(size)
    smooth = cv2.GaussianBlur(values, (0, 0), 2) * (2**bits - 1)
    cv2.imwrite(str(tmp_path / "png" / "a.png"), smooth.astype(np.uint16))

    code, output = pack(tmp_path / "png", tmp_path / "array")

    assert code == 0, output
    shown = PictureFolder(tmp_path / "png", SIZE)("a.png")
    packed = image_source(tmp_path / "array", SIZE)("a.png")
    torch.testing.assert_close(packed, shown, rtol=0, atol=1 / 255)


def test_run_that_was_stopped_goes_on_and_makes_nothing_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    grey = picture_array._grey

    def noted(source: Path, size: tuple[int, int], name: str) -> object:
        if len(made) == 3 and name == NAMES[3]:
            made.append("stopped")
            raise KeyboardInterrupt
        made.append(name)
        return grey(source, size, name)

    monkeypatch.setattr(picture_array, "_AT_ONCE", 2)
    monkeypatch.setattr(picture_array, "_grey", noted)
    code, _ = pack(pictures, tmp_path / "array")
    assert code != 0
    assert not (tmp_path / "array" / "images.json").exists()

    first, output = pack(pictures, tmp_path / "array")
    second, _ = pack(pictures, tmp_path / "array")

    assert (first, second) == (0, 0), output
    assert made == [*NAMES[:3], "stopped", *NAMES[2:]]
    assert list(json.loads((tmp_path / "array" / "images.json").read_text())) == list(NAMES)
    folder = PictureFolder(pictures, SIZE)
    array = ImageArray(tmp_path / "array", SIZE)
    assert all(torch.allclose(array(name), folder(name)) for name in NAMES)


def test_array_of_other_pictures_is_not_written_over(pictures: Path, tmp_path: Path) -> None:
    assert pack(pictures, tmp_path / "array")[0] == 0
    (pictures / NAMES[0]).unlink()

    code, output = pack(pictures, tmp_path / "array")

    assert code == 1
    assert "holds an array of 4 pictures of 96 x 64, and not these" in " ".join(output.split())


def made_again(picture: Path) -> None:
    """Write another picture of the same size, with the time of the former one."""
    before = picture.stat()
    cv2.imwrite(str(picture), 255 - cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE))
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_array_of_a_picture_that_was_made_again_is_not_taken_for_this_one(
    pictures: Path, tmp_path: Path
) -> None:
    assert pack(pictures, tmp_path / "array")[0] == 0
    made_again(pictures / NAMES[2])

    code, output = pack(pictures, tmp_path / "array")

    assert code == 1
    assert "1 of 4 pictures are not what they were when" in " ".join(output.split())
    assert f"{NAMES[2]} the first: delete it, or name another --out" in " ".join(output.split())


def test_part_of_an_array_does_not_go_on_with_a_picture_that_was_made_again(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(picture_array, "_grey", stopped)
        assert pack(pictures, tmp_path / "array")[0] != 0
    made_again(pictures / NAMES[0])

    code, output = pack(pictures, tmp_path / "array")

    assert code == 1
    assert "of other pictures, or of what these held before: delete it" in " ".join(output.split())


def test_damaged_picture_is_named_before_the_array_is_made(pictures: Path, tmp_path: Path) -> None:
    (pictures / NAMES[0]).write_bytes((pictures / NAMES[0]).read_bytes()[:90])

    code, output = pack(pictures, tmp_path / "array")
    skipped, told = pack(pictures, tmp_path / "array", "--skip-unreadable")

    assert code == 1
    assert "1 of 4 pictures are missing or damaged" in output
    assert "--skip-unreadable" in output
    assert skipped == 0, told
    assert "3 pictures" in told


def test_full_disk_is_said_before_the_first_picture(pictures: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        code, output = pack(pictures, tmp_path / "array")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("mammoclip-train:")]
    assert line == f"mammoclip-train: {tmp_path / 'array' / 'images.npy'}: File too large"
    assert pack(pictures, tmp_path / "array")[0] == 0


def test_picture_that_the_array_lacks_is_named_before_the_first_step(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(pictures, tmp_path / "array")
    rows = [f"P{number},L,{name},,a mass,category 4" for number, name in enumerate(NAMES)]
    rows.append("P9,R,later.png,,a mass,category 4")
    head = "patient_id,laterality,CC,MLO,findings,impressions"
    (tmp_path / "table.csv").write_text("\n".join([head, *rows]) + "\n")
    sets = [ImageTextSet(table=str(tmp_path / "table.csv"), images=str(tmp_path / "array"))]

    with pytest.raises(TableError, match=r"later\.png: the array does not hold it"):
        PretrainingData(DataSettings(image_text=sets)).setup("fit")
    data = PretrainingData(DataSettings(image_text=sets, skip_unreadable=True))
    data.setup("fit")

    assert "1 of 5 pictures are left out" in capsys.readouterr().err
    assert data.pictures < len(NAMES)
