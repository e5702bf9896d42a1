"""Lists of paths as programs write them, and entries that no file can have."""

import os
from pathlib import Path

import pytest
from any_account import any_account
from core_factory import WriteInstance, breast
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app
from mammoclip_core.many_studies.finding_files import files_in

NUL = "a name with NUL characters: write the list in UTF-8, or in UTF-16 with a byte order mark"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_list_is_read_by_its_byte_order_mark(
    write_instance: WriteInstance, tmp_path: Path, encoding: str, ends: str
) -> None:
    image = write_instance(breast(), StudyInstanceUID="1.2.1")
    images = [image, image.rename(tmp_path / "brüste ਊ ഊ.dcm")]  # U+0A0A, U+0D0A: no ends of lines
    image.write_bytes(images[1].read_bytes())
    names = tmp_path / "list.txt"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    names.write_bytes((mark + ends.join(map(str, (*images, "")))).encode(encoding))

    found = list(files_in([names]))

    assert [(one.path, one.study, one.reason) for one in found] == [
        (path, "1.2.1", "") for path in images
    ]


def test_name_of_any_bytes_is_read_from_a_list(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    image = write_instance(breast()).rename(tmp_path / os.fsdecode(b"caf\xe9\r.dcm"))
    (tmp_path / "list.txt").write_bytes(os.fsencode(image) + b"\n")

    assert [(one.path, one.reason) for one in files_in([tmp_path / "list.txt"])] == [(image, "")]


@pytest.mark.parametrize(
    ("written", "files", "reasons"),
    [
        (b"a.dcm\0\n", [r"a.dcm\x00"], [NUL]),
        (b"a\0\n\0", [r"a\x00", r"\x00"], [NUL] * 2),  # UTF-16 without byte order mark
        (b"a\0.txt\n", [r"a\x00.txt"], [NUL]),
        (b"\xff\xfea\0b", [r"a\x62"], ["No such file or directory"]),  # cut off
        (b"\xff\xfe\x3d\xd8\n\0", [r"\x3d\xd8"], ["No such file or directory"]),  # half a pair
        (b"\xef\xbb\xbf\xe9.dcm", [os.fsdecode(b"\xe9.dcm")], ["No such file or directory"]),
        (b"a" * 5000, ["a" * 5000], ["File name too long"]),
        (b"a" * 5000 + b".txt", ["a" * 5000 + ".txt"], ["File name too long"]),
    ],
)
def test_entry_that_no_file_can_have_is_a_row(
    tmp_path: Path, written: bytes, files: list[str], reasons: list[str]
) -> None:
    names = tmp_path / "list.txt"
    names.write_bytes(written)

    found = list(files_in([names]))

    assert [str(one.path) for one in found] == files
    assert [one.reason for one in found] == reasons
    assert all(one.is_named and not one.study for one in found)


def test_entries_that_cannot_be_looked_at_stop_nothing(
    write_instance: WriteInstance, tmp_path: Path
) -> None:
    good = write_instance(breast())
    closed, loop = tmp_path / "closed", tmp_path / "loop.txt"
    closed.mkdir(mode=0o400)
    loop.symlink_to(loop)
    names = tmp_path / "list.txt"
    names.write_text(f"{closed}/a.dcm\n{closed}/a.txt\n{loop}\n{good}\n")

    with any_account():
        found = [(one.path, one.reason) for one in files_in([names])]
    closed.chmod(0o700)

    assert found == [
        (closed / "a.dcm", "Permission denied"),
        (closed / "a.txt", "Permission denied"),
        (loop, "Too many levels of symbolic links"),
        (good, ""),
    ]


def test_embed_takes_a_list_in_utf_16_and_names_what_it_cannot_read(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    image, names = write_instance(breast()), tmp_path / "list.txt"
    names.write_text(f"{image}\n{image}\0\n", encoding="utf-16")
    command = ["embed", str(names), "--bundle", str(random_bundle)]

    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out.npz")])

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"mammoclip-predict: {image}\\x00: {NUL}\n" in result.stderr
    assert (tmp_path / "out.npz").exists()
