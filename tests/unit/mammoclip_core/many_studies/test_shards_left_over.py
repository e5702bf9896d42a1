"""Shards of a longer list, which lie behind those that are asked for now."""

from pathlib import Path

import pytest
from core_factory import WriteInstance, breast
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (1, "and 1 more after it are of other files: choose another --out, or delete them"),
        (2, "is of other files: choose another --out, or delete it"),
    ],
)
def test_shards_behind_the_last_one_are_refused(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path, files: int, said: str
) -> None:
    images = [write_instance(breast(seed=seed)) for seed in range(3)]
    names, shards = tmp_path / "list.txt", tmp_path / "shards"

    def embed(count: int) -> "tuple[int, str]":
        names.write_text("".join(f"{path}\n" for path in images[:count]))
        command = ["embed", str(names), "--bundle", str(random_bundle), "--out", str(shards)]
        result = CliRunner().invoke(app, [*command, "--shard", "1"])
        return result.exit_code, result.stderr

    assert embed(3)[0] == 0
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    (shards / f"shard-{files:05d}.npz").write_bytes(b"damaged")
    (shards / "shard-of-mine.npz").write_bytes(b"of no number")

    code, words = embed(files)

    assert code == 1
    assert f"{shards / f'shard-{files:05d}.npz'} {said}\n" in words
    for path in sorted(shards.glob("shard-0*.npz"))[files:]:
        path.unlink()
    assert embed(files)[0] == 0
    assert {path.name: path.read_bytes() for path in shards.glob("shard-0*.npz")} == {
        name: before[name] for name in sorted(before)[:files]
    }
