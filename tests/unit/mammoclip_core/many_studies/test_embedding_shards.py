import os
from pathlib import Path

import numpy as np
import pytest
from core_factory import WriteInstance, breast
from typer.testing import CliRunner

from mammoclip_core.commands.predict import app


def test_shards_of_a_folder_hold_what_one_file_does_and_are_not_made_again(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    for seed in range(3):
        write_instance(breast(seed=seed))
    (tmp_path / "z.dcm").write_bytes((tmp_path / "0.dcm").read_bytes()[:300])

    def embed(*arguments: str) -> "tuple[int, str]":
        command = ["embed", str(tmp_path), "--bundle", str(random_bundle), *arguments]
        result = CliRunner().invoke(app, command)
        return result.exit_code, result.stderr

    one = embed("--out", str(tmp_path / "one.npz"))
    shards = tmp_path / "shards"
    several = embed("--out", str(shards), "--shard", "2")
    written = (shards / "shard-00000.npz").stat()
    (shards / "shard-00001.npz").unlink()
    again = embed("--out", str(shards), "--shard", "2")

    assert one[0] == several[0] == again[0] == 1  # a file failed
    assert all("z.dcm" in text for _, text in (one, several, again))
    assert os.path.samestat(written, (shards / "shard-00000.npz").stat())
    parts = [np.load(path) for path in sorted(shards.iterdir())]
    whole = np.load(tmp_path / "one.npz")
    assert [name for part in parts for name in part["files"]] == list(whole["files"])
    np.testing.assert_allclose(
        np.concatenate([part["embeddings"] for part in parts]), whole["embeddings"], atol=1e-5
    )
    assert embed("--out", str(shards), "--shard", "1")[1].count("is of other files") == 1


def test_shards_of_other_numbers_or_of_what_files_held_before_are_refused(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    paths = [write_instance(breast(seed=seed)) for seed in range(2)]
    shards = tmp_path / "shards"

    def embed(*arguments: str) -> "tuple[int, str]":
        command = ["embed", *map(str, paths), "--bundle", str(random_bundle), *arguments]
        result = CliRunner().invoke(app, [*command, "--out", str(shards), "--shard", "1"])
        return result.exit_code, result.stderr

    assert embed()[0] == 0
    assert embed()[0] == 0
    code, words = embed("--precision", "bfloat16")
    assert code == 1
    assert "shard-00000.npz is of another engine or precision" in words
    changed = paths[1].read_bytes()
    paths[1].write_bytes(changed[:-2] + b"\1\1")
    os.utime(paths[1], (0, 0))
    code, words = embed()
    assert code == 1
    assert f"shard-00001.npz is of what files held before, 1 of them, {paths[1]} the" in words
    (shards / "shard-00001.npz").unlink()
    assert embed()[0] == 0


@pytest.mark.parametrize("kept", [0, 300, -200])
def test_damaged_shard_is_made_again(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path, kept: int
) -> None:
    path, shards = write_instance(breast()), tmp_path / "shards"
    command = ["embed", str(path), "--bundle", str(random_bundle), "--out", str(shards)]
    assert CliRunner().invoke(app, [*command, "--shard", "1"]).exit_code == 0
    shard = shards / "shard-00000.npz"
    expected = np.load(shard)["embeddings"]
    shard.write_bytes(shard.read_bytes()[:kept])

    result = CliRunner().invoke(app, [*command, "--shard", "1"])

    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(np.load(shard)["embeddings"], expected, atol=1e-6)
