"""The Python of the README runs as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from core_factory import WriteInstance, breast

from mammoclip_core.api import embed_images, embed_texts

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture
def example(random_bundle: Path, write_instance: WriteInstance, tmp_path: Path) -> str:
    """The README's example; the folder of the test holds its bundle and its study."""
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shutil.copytree(random_bundle, tmp_path / "bundles" / "mammo-clip-b5")
    study = tmp_path / "study"
    study.mkdir()
    write_instance(breast()).rename(study / "1.dcm")
    return example


def assert_shows_findings(printed: str) -> None:
    assert printed.startswith("[('mass', 0.")
    assert printed.count("FindingSource.PROMPT") == 3


def test_example_prints_the_findings_of_an_image(
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(README), "exec"), {})

    assert_shows_findings(capsys.readouterr().out)


def in_another_python(code: str, folder: Path, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_example_runs_where_torch_is_not_installed(
    example: str, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    assert_shows_findings(in_another_python(example, tmp_path, without_torch))


def test_images_are_embedded_where_torch_is_not_installed(
    example: str, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    code = "from mammoclip_core.api import embed_images\n"
    code += "print(embed_images('bundles/mammo-clip-b5', ['study/1.dcm']).embeddings.shape)"

    assert in_another_python(code, tmp_path, without_torch) == "(1, 128)\n"


def test_embeddings_of_images_and_texts_lie_in_one_space(
    random_bundle: Path, write_instance: WriteInstance
) -> None:
    images = embed_images(random_bundle, [str(write_instance(breast()))])
    texts = embed_texts(random_bundle, ["no mass", "mass"])

    assert images.embeddings.shape[1] == texts.shape[1]
    assert np.abs(texts @ images.embeddings.T).max() <= 1 + 1e-6
