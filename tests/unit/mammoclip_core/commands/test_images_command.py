"""`mammoclip-predict images`: how it ends where nothing has an answer."""

import shutil
from pathlib import Path
from typing import Any

from core_factory import WriteInstance, breast


def test_folder_without_images_leaves_nothing_that_hides_later_ones(
    run: Any, write_instance: WriteInstance, tmp_path: Path
) -> None:
    image = write_instance(breast())
    folder, out = tmp_path / "archive", tmp_path / "out.csv"
    folder.mkdir()
    command = ("images", folder, "--out", out, "--device", "cpu")

    nothing = run(*command)
    left = sorted(path.name for path in tmp_path.iterdir())
    shutil.move(image, folder)
    later = run(*command)

    assert nothing.exit_code == 1
    assert "no image was found: name folders, or a list of files" in nothing.stderr
    assert left == [image.name, "archive"]
    assert later.exit_code == 0, later.output
    assert "0 of 1 image failed" in later.stderr


def test_status_is_1_where_all_files_are_passed_over(run: Any, tmp_path: Path) -> None:
    names, out = tmp_path / "list.txt", tmp_path / "out.csv"
    names.write_text("missing.dcm\n")

    result = run("images", names, "--out", out, "--device", "cpu")

    assert result.exit_code == 1
    assert result.stderr.endswith("0 of 0 images failed, 1 file passed over\n")
    assert "missing.dcm" in out.read_text()
