import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings

Load = Callable[[str], Settings]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("MAMMOCLIP_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Settings:
        file = tmp_path / "mammoclip.toml"
        file.write_text(text, encoding="utf-8")
        return load_settings(file)

    return write_and_load
