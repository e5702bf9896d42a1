"""One bad file in a folder is named and passed over; the images beside it are found."""

import struct
from pathlib import Path

import pydicom
import pytest
from any_account import any_account
from core_factory import WriteInstance, breast, mammogram, save
from PIL import Image
from pydicom.uid import MediaStorageDirectoryStorage
from typer.testing import CliRunner

from mammoclip_core.analysis.study_files import StudyChoiceError, requests_from
from mammoclip_core.commands.predict import app
from mammoclip_core.errors import PixelError
from mammoclip_core.images.folder import NO_PREAMBLE, images_in

VALUES = breast(90, 74, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one good image."""
    place = tmp_path / "study"
    place.mkdir()
    save(mammogram(VALUES, SOPInstanceUID="1.2.3"), place / "good.dcm")
    return place


def without_preamble(file: Path, *, implicit: bool) -> None:
    dataset = mammogram(VALUES)
    del dataset.file_meta
    pydicom.dcmwrite(file, dataset, implicit_vr=implicit, little_endian=True)


def cut(file: Path, length: int) -> None:
    save(mammogram(VALUES), file)
    file.write_bytes(file.read_bytes()[:length])


def dicomdir(place: Path) -> None:
    dataset = mammogram(VALUES, SOPClassUID=MediaStorageDirectoryStorage)
    for keyword in ("Rows", "Columns", "PixelData", "StudyInstanceUID"):
        del dataset[keyword]
    save(dataset, place / "DICOMDIR")


BAD = {
    "cut in its header": lambda place: cut(place / "a.dcm", 400),
    "cut in its meta information": lambda place: cut(place / "a.dcm", 150),
    "cut in its preamble": lambda place: cut(place / "a.dcm", 100),
    "empty": lambda place: (place / "a.dcm").write_bytes(b""),
    "a text": lambda place: (place / "a.DCM").write_text("not found"),
    "of macOS": lambda place: (place / "._a.dcm").write_bytes(b"\0\5\x16\7" + bytes(200)),
    "without preamble, implicit": lambda place: without_preamble(place / "a", implicit=True),
    "without preamble, explicit": lambda place: without_preamble(place / "a", implicit=False),
    "without study": lambda place: save(mammogram(VALUES, StudyInstanceUID=""), place / "a"),
    "a thumbnail": lambda place: Image.new("L", (128, 128), 40).save(place / "a.png"),
    "an empty picture": lambda place: (place / "a.jpg").write_bytes(b""),
    "a text that is named as a picture": lambda place: (place / "a.PNG").write_text("not found"),
    "a damaged picture": lambda place: (place / "a.png").write_bytes(b"\x89PNG\r\n"),
    "a DICOMDIR": dicomdir,
    "damaged in a type": lambda place: (place / "a.dcm").write_bytes(
        (place / "good.dcm").read_bytes().replace(b"\x08\0\x18\0UI", b"\x08\0\x18\0SQ")
    ),
}


@pytest.mark.parametrize("mode", [0, 0o400], ids=["nothing may be seen", "names may be seen"])
def test_folder_that_may_not_be_entered_is_named(folder: Path, mode: int) -> None:
    closed = folder / "closed"
    closed.mkdir()
    save(mammogram(VALUES, SOPInstanceUID="1.2.4"), closed / "other.dcm")
    closed.chmod(mode)

    with any_account():
        images, (passed,) = images_in([folder])
    closed.chmod(0o700)

    assert [image.path.name for image in images] == ["good.dcm"]
    assert passed.path == (closed / "other.dcm" if mode else closed)
    assert passed.reason == "Permission denied"


@pytest.mark.filterwarnings("ignore::UserWarning")  # what pydicom says of damaged files
@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_passed_over_with_its_reason(folder: Path, name: str) -> None:
    BAD[name](folder)

    images, passed_over = images_in([folder])

    assert "good.dcm" in {image.path.name for image in images}
    assert len(passed_over) == 1
    assert passed_over[0].reason
    assert "\n" not in passed_over[0].reason


def test_data_set_without_preamble_is_called_what_it_is(tmp_path: Path) -> None:
    without_preamble(tmp_path / "a", implicit=True)

    with pytest.raises(PixelError, match="without preamble"):
        images_in([tmp_path / "a"])
    assert [one.reason for one in images_in([tmp_path])[1]] == [NO_PREAMBLE]


@pytest.mark.parametrize(
    "content",
    [
        b"[autorun]\nopen=x",
        b"",
        struct.pack("<8s", b"\x08\0\xff\xff\xff\xff\xff\xff"),
        b"%PDF-1.7 ",
    ],
)
def test_what_nobody_takes_for_an_image_is_not_mentioned(folder: Path, content: bytes) -> None:
    (folder / "other").write_bytes(content)

    assert images_in([folder])[1] == []


def test_pictures_alone_are_images(tmp_path: Path) -> None:
    Image.new("L", (128, 128), 40).save(tmp_path / "a.png")

    images, passed_over = images_in([tmp_path])

    assert (len(images), passed_over) == (1, [])


def test_folder_of_bad_files_alone_says_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"")

    with pytest.raises(StudyChoiceError, match=r"a\.dcm is an empty file"):
        requests_from([tmp_path])


def test_command_names_what_it_passes_over(folder: Path, write_instance: WriteInstance) -> None:
    (folder / "bad.dcm").write_bytes(b"")

    result = CliRunner().invoke(app, ["image", str(folder)])

    assert result.exit_code == 0, result.output
    assert "bad.dcm: an empty file" in result.stderr


def test_whole_file_of_an_image_is_taken_and_the_damaged_one_named(folder: Path) -> None:
    whole = (folder / "good.dcm").read_bytes()
    (folder / "a-cut.dcm").write_bytes(whole[:-500])

    found = requests_from([folder])

    assert [image.path.name for image in found.requests[0].images] == ["good.dcm"]
    assert [(one.path.name, one.reason) for one in found.passed_over] == [
        ("a-cut.dcm", "another file of the image in good.dcm, which can be read")
    ]


@pytest.mark.parametrize("is_equal", [True, False])
def test_second_file_of_an_image_is_named(folder: Path, is_equal: bool) -> None:
    other = mammogram(VALUES, SOPInstanceUID="1.2.3")
    other.PatientComments = "" if is_equal else "sent again"
    save(other, folder / "later.dcm")

    found = requests_from([folder])

    assert [image.path.name for image in found.requests[0].images] == ["good.dcm"]
    assert [(one.path.name, one.reason) for one in found.passed_over] == [
        ("later.dcm", "another file of the image in good.dcm")
    ]


def test_file_that_is_named_twice_is_one_file(folder: Path) -> None:
    found = requests_from([folder / "good.dcm", folder])

    assert (len(found.requests[0].images), found.passed_over) == (1, ())


def test_linked_folder_and_file_are_searched_and_a_link_to_nothing_is_named(
    folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "links"
    place.mkdir()
    (place / "study").symlink_to(folder)
    (place / "gone.dcm").symlink_to(tmp_path / "nowhere.dcm")

    images, passed_over = images_in([place])

    assert [one.path for one in images] == [place / "study" / "good.dcm"]
    assert [(one.path.name, one.reason) for one in passed_over] == [
        ("gone.dcm", "a link to a file that is not there")
    ]
