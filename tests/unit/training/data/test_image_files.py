"""Files that a table gives by their paths are found however it parts the folders."""

from pathlib import Path

import pytest

from training.data.image_files import find_listed
from training.errors import TableError

TABLE = Path("own.csv")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures" / "V7").mkdir(parents=True)
    (tmp_path / "pictures" / "V7" / "a.png").touch()
    (tmp_path / "secret.png").touch()
    return tmp_path / "pictures"


def test_path_of_windows_is_found(folder):
    assert find_listed([folder], [r"V7\a.png"], TABLE) == (folder / "V7" / "a.png",)


def test_file_whose_name_has_a_backslash_counts_first(folder):
    (folder / r"V7\a.png").touch()

    assert find_listed([folder], [r"V7\a.png"], TABLE) == (folder / r"V7\a.png",)


def test_path_of_windows_out_of_the_folder_is_refused(folder):
    with pytest.raises(TableError, match="are not under"):
        find_listed([folder], [r"..\secret.png"], TABLE)
