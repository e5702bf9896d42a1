"""A folder that cannot be copied says which file, and why."""

import resource

import pytest

from mammoclip_core.bundles.folder_copy import copy_folder
from mammoclip_core.errors import BundleError


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "tokenizer").mkdir(parents=True)
    (folder / "bundle.json").write_text("{}")
    (folder / "tokenizer" / "vocab.txt").write_text("word\n" * 5000)
    return folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_all_files_are_copied(source, out):
    copy_folder(source, out)

    copied = {path.relative_to(out).as_posix(): path for path in out.rglob("*.*")}
    assert set(copied) == {"bundle.json", "tokenizer/vocab.txt"}
    assert all(path.read_bytes() == (source / name).read_bytes() for name, path in copied.items())


def test_linked_folder_is_copied_whole(source, out, tmp_path):
    (source / "tokenizer").rename(tmp_path / "words")
    (source / "tokenizer").symlink_to(tmp_path / "words")

    copy_folder(source, out)

    copied = out / "tokenizer" / "vocab.txt"
    assert copied.read_bytes() == (tmp_path / "words" / "vocab.txt").read_bytes()
    assert not copied.parent.is_symlink()


def test_folder_is_made_where_it_is_missing(source, tmp_path):
    copy_folder(source, tmp_path / "new" / "folder")

    assert (tmp_path / "new" / "folder" / "tokenizer" / "vocab.txt").is_file()


def test_file_that_the_disk_does_not_take_is_named(source, out):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(BundleError, match=r"copied to .*out/tokenizer/vocab.txt: File too lar"):
            copy_folder(source, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
