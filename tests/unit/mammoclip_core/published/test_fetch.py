"""The published files from a model hub that never leaves this machine."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from checkpoint_factory import (
    bert_state,
    configuration,
    encoder_state,
    projections,
    tokenizer,
    vocabulary_size,
    write_pretraining,
)
from stand_in_hub import COMMIT, Hub, serving

from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import read_manifest
from mammoclip_core.published.models import PUBLISHED

CHECKPOINT = f"{PUBLISHED['b2'].checkpoint.repository}/{PUBLISHED['b2'].checkpoint.path}"
VOCABULARY = "emilyalsentzer/Bio_ClinicalBERT/vocab.txt"
CUT = 22_000_000
"""The client writes ten million bytes at a time, and keeps what it has written."""

Fetch = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("hub")
    words = tokenizer(folder / "words")
    state = {
        **encoder_state(architecture="tf_efficientnet_b2"),
        **bert_state(vocabulary_size(words)),
        **projections(features=1408),
        "logit_scale": torch.tensor(2.0),
    }
    config = configuration(model__image_encoder__name="tf_efficientnetv2-detect")
    path = write_pretraining(folder / "b2.tar", state, config)
    return {
        CHECKPOINT: path.read_bytes(),
        VOCABULARY: (words / "vocab.txt").read_bytes(),
        VOCABULARY.replace("vocab.txt", "config.json"): b'{"model_type": "bert"}',
    }


@pytest.fixture
def hub(files: dict[str, bytes]) -> Iterator[Hub]:
    with serving(dict(files)) as hub:
        yield hub


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path) -> Fetch:
    """Run the command in a process of its own, since the client reads HF_ENDPOINT at import."""

    def run(
        *arguments: str, model: str = "b2", stdin: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [
                *(sys.executable, "-m", "mammoclip_core.commands.predict", "fetch", model),
                *("--out", str(tmp_path / "bundle"), "--downloads", str(tmp_path / "files")),
                *arguments,
            ],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": "/nowhere", **environment},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def complaint(done: subprocess.CompletedProcess) -> str:
    """Return the last line of the errors, and that there was one."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    _, name, last = done.stderr.strip().splitlines()[-1].partition("mammoclip-predict: ")
    assert name
    return str(last)


def test_fetched_bundle_names_where_it_came_from(
    fetch: Fetch, hub: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    done = fetch("--accept-licence")

    assert done.returncode == 0, done.stderr
    assert "CC-BY-NC-SA-4.0" in done.stderr
    manifest = read_manifest(tmp_path / "bundle")
    (checkpoint,) = (tmp_path / "files").rglob("*.tar")
    assert manifest.sources == {
        "checkpoint": file_sha256(checkpoint),
        "hub shawn24/Mammo-CLIP": COMMIT,
        "hub emilyalsentzer/Bio_ClinicalBERT": COMMIT,
    }
    assert (tmp_path / "bundle" / "tokenizer" / "vocab.txt").read_bytes() == files[VOCABULARY]


def test_broken_download_is_resumed_by_the_next_run(
    fetch: Fetch, hub: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    hub.breaks_after = CUT

    assert "status 503" in complaint(fetch("--accept-licence"))
    (part,) = (tmp_path / "files").rglob("*.part")
    held = part.stat().st_size
    hub.breaks_after, hub.is_down = None, False
    hub.asked.clear()
    done = fetch("--accept-licence")

    assert 0 < held <= CUT
    assert done.returncode == 0, done.stderr
    ranges = [wanted for method, path, wanted in hub.asked if path.endswith(".tar") and wanted]
    assert ranges == [f"bytes={held}-"]
    (whole,) = (tmp_path / "files").rglob("*.tar")
    assert whole.read_bytes() == files[CHECKPOINT]


def test_what_is_there_is_not_downloaded_again(fetch: Fetch, hub: Hub) -> None:
    content = hub.files.pop(CHECKPOINT)
    fetch("--accept-licence")
    hub.files[CHECKPOINT], hub.digests[CHECKPOINT] = content, "ab" * 32
    hub.asked.clear()

    fetch("--accept-licence")

    fetched = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    assert [Path(path).suffix for path in fetched] == [".tar"]


def test_other_content_than_the_hub_reports_is_deleted(
    fetch: Fetch, hub: Hub, tmp_path: Path
) -> None:
    hub.digests[CHECKPOINT] = "ab" * 32

    assert f"the hub reports the digest {'ab' * 32}" in complaint(fetch("--accept-licence"))
    assert not [path for path in (tmp_path / "files").rglob("*.tar*") if path.is_file()]
    assert not (tmp_path / "bundle").exists()


def test_altered_vocabulary_is_noticed(fetch: Fetch, hub: Hub) -> None:
    hub.digests[VOCABULARY] = "cd" * 20

    assert "vocab.txt: the hub reports the digest" in complaint(fetch("--accept-licence"))


def test_file_without_a_digest_is_refused(fetch: Fetch, hub: Hub) -> None:
    hub.digests[CHECKPOINT] = "none"

    assert "no digest" in complaint(fetch("--accept-licence"))


def test_file_that_is_not_there_is_named(fetch: Fetch, hub: Hub) -> None:
    del hub.files[CHECKPOINT]

    assert f"{CHECKPOINT}: the repository has no such file" in complaint(fetch("--accept-licence"))


def test_hub_that_is_not_there_is_said(fetch: Fetch) -> None:
    done = fetch("--accept-licence", HF_ENDPOINT="http://127.0.0.1:9")

    assert "the hub cannot be reached" in complaint(done)


def test_offline_is_said(fetch: Fetch, hub: Hub) -> None:
    assert "HF_HUB_OFFLINE" in complaint(fetch("--accept-licence", HF_HUB_OFFLINE="1"))
    assert hub.asked == []


def test_nothing_is_asked_of_the_hub_before_the_terms_are_accepted(fetch: Fetch, hub: Hub) -> None:
    assert "--accept-licence" in complaint(fetch())
    assert hub.asked == []


@pytest.mark.parametrize("answer", ["y", "n"])
def test_terminal_is_asked(fetch: Fetch, hub: Hub, answer: str) -> None:
    master, terminal = pty.openpty()
    os.write(master, f"{answer}\n".encode())
    hub.is_down = True

    done = fetch(stdin=terminal)

    os.close(master)
    os.close(terminal)
    assert "Do you accept these terms?" in done.stderr
    assert bool(hub.asked) == (answer == "y")
    assert ("status 503" if answer == "y" else "nothing was downloaded") in complaint(done)


def test_unknown_model_is_told_which_there_are(fetch: Fetch, hub: Hub) -> None:
    assert "b5, b2" in complaint(fetch("--accept-licence", model="b7"))


def test_folder_in_use_is_refused_before_the_download(
    fetch: Fetch, hub: Hub, tmp_path: Path
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine.txt").write_text("precious")

    assert "not empty" in complaint(fetch("--accept-licence"))
    assert hub.asked == []


def test_other_model_than_expected_is_refused(fetch: Fetch, hub: Hub, tmp_path: Path) -> None:
    hub.files[CHECKPOINT.replace("b2-model-best-epoch-10", "b5-model-best-epoch-7")] = hub.files[
        CHECKPOINT
    ]

    done = fetch("--accept-licence", model="b5")

    assert "tf_efficientnet_b2, tf_efficientnet_b5 was expected" in complaint(done)
    assert not (tmp_path / "bundle").exists()
