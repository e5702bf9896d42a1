"""`mammoclip-predict embed`: how it ends where nothing has an embedding."""

from pathlib import Path
from typing import Any

import pytest
from core_factory import WriteInstance, breast


@pytest.mark.parametrize("how", [(), ("--shard", 1)])
def test_status_is_1_where_no_image_is_named(
    run: Any, tmp_path: Path, how: tuple[str, int]
) -> None:
    (tmp_path / "list.txt").touch()
    out = tmp_path / "out"

    result = run("embed", tmp_path / "list.txt", "--out", out, *how)

    assert result.exit_code == 1
    assert "no image was found: name folders, or a list of files (.txt)" in result.stderr
    assert not out.exists()


def test_list_of_relative_paths_leaves_the_shards_of_another_working_folder(
    run: Any, write_instance: WriteInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, names, shards = write_instance(breast()), tmp_path / "list.txt", tmp_path / "shards"
    names.write_text(f"{image.name}\n")
    command = ("embed", names, "--out", shards, "--shard", 1)
    monkeypatch.chdir(tmp_path)
    assert run(*command).exit_code == 0
    before = (shards / "shard-00000.npz").read_bytes()

    monkeypatch.chdir("/")
    elsewhere = run(*command)

    assert elsewhere.exit_code == 1
    assert f"mammoclip-predict: {image.name}: No such file or directory\n" in elsewhere.stderr
    assert "shard-00000.npz is of other files" in elsewhere.stderr
    assert (shards / "shard-00000.npz").read_bytes() == before
    monkeypatch.chdir(tmp_path)
    assert run(*command).exit_code == 0
