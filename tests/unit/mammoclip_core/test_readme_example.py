"""The Python of the README runs as it stands there."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from core_factory import WriteInstance, breast

from mammoclip_core.api import embed_images, embed_texts

README = Path(__file__).parents[3] / "README.md"


def test_example_prints_the_findings_of_an_image(
    random_bundle: Path,
    write_instance: WriteInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shutil.copytree(random_bundle, tmp_path / "bundles" / "mammo-clip-b5")
    study = tmp_path / "study"
    study.mkdir()
    write_instance(breast()).rename(study / "1.dcm")
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(README), "exec"), {})

    printed = capsys.readouterr().out
    assert printed.startswith("[('mass', 0.")
    assert printed.count("FindingSource.PROMPT") == 3


def test_embeddings_of_images_and_texts_lie_in_one_space(
    random_bundle: Path, write_instance: WriteInstance
) -> None:
    images = embed_images(random_bundle, [str(write_instance(breast()))])
    texts = embed_texts(random_bundle, ["no mass", "mass"])

    assert images.embeddings.shape[1] == texts.shape[1]
    assert np.abs(texts @ images.embeddings.T).max() <= 1 + 1e-6
