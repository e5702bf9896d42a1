import os
from pathlib import Path

import numpy as np
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
