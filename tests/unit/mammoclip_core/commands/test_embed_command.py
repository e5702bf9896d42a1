"""`mammoclip-predict embed`: how it ends where nothing has an embedding."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where an image is read."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("mammoclip_core.many_studies.embedding_shards.embed_files", fail)
    monkeypatch.setattr("mammoclip_core.commands.answers.Answers.give", fail)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("command", [("embed", "--out"), ("image", "--json-out")])
@pytest.mark.parametrize("place", ["file/out.npz", "folder"])
def test_place_that_takes_no_file_is_refused_before_an_image_is_read(
    run: Any, write_instance: WriteInstance, tmp_path: Path, command: tuple[str, str], place: str
) -> None:
    image = write_instance(breast())
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "folder").mkdir()

    result = run(command[0], image, command[1], tmp_path / place)

    assert result.exit_code == 1
    assert str(tmp_path / place.split("/", maxsplit=1)[0]) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["one.npz", "one"])
def test_former_file_stays_where_the_disk_is_full(
    run: Any,
    write_instance: WriteInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    image, out = write_instance(breast()), tmp_path / "new" / name
    assert run("embed", image, "--out", out).exit_code == 0
    before = (tmp_path / "new" / "one.npz").read_bytes()

    def half(stream: Any, **_: object) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpy.savez_compressed", half)
    result = run("embed", image, "--out", out)

    assert result.exit_code == 1
    assert f"{tmp_path / 'new' / 'one.npz'}: No space left on device" in result.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"one.npz"}
    assert (tmp_path / "new" / "one.npz").read_bytes() == before


def test_document_may_go_to_a_pipe(run: Any, write_instance: WriteInstance, tmp_path: Path) -> None:
    image, pipe = write_instance(breast()), tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        result = run("image", image, "--json-out", pipe)

        assert result.exit_code == 0
        assert json.loads(read.result(timeout=60))["images"]
    assert pipe.is_fifo()
