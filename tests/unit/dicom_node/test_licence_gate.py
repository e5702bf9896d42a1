import subprocess
from pathlib import Path
from typing import Any

import pytest

from dicom_node import model_bundle
from dicom_node.errors import SettingsError
from dicom_node.model_bundle import bundle_folder, pass_licence_gate
from dicom_node.settings import ModelSettings
from mammoclip_core.manifest import Manifest, Preprocessing, write_manifest

WORDS = "CC-BY-NC-SA-4.0 research use"


def write_bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle that is a manifest and no weights."""
    values: dict[str, Any] = {
        "name": "mammo-clip",
        "version": "1.0",
        "weights_sha256": "0" * 64,
        "licence": "CC-BY-NC-SA-4.0",
        "permitted_use": "research use",
        "trained_on": "VinDr-Mammo",
        "intended_use": "research",
        "encoders": (),
        "preprocessing": Preprocessing(
            mode="published", rows=1520, columns=912, mean=0.3, std=0.25
        ),
        "findings": (),
    }
    folder.mkdir(exist_ok=True)
    write_manifest(Manifest(**{**values, **changes}), folder)
    return folder


@pytest.mark.parametrize("accept", [None, "", "yes", "research use", WORDS.lower(), WORDS + " "])
def test_bundle_whose_terms_are_not_accepted_is_refused_with_the_words(
    tmp_path: Path, accept: str | None
) -> None:
    settings = ModelSettings(bundle=write_bundle(tmp_path / "bundle"), accept=accept)

    with pytest.raises(SettingsError) as caught:
        pass_licence_gate(settings)

    assert f'set accept = "{WORDS}" under [model]' in str(caught.value)


def test_accepted_terms_open_the_gate_and_are_logged(tmp_path: Path, log_lines: list[Any]) -> None:
    settings = ModelSettings(bundle=write_bundle(tmp_path / "bundle"), accept=WORDS)

    manifest = pass_licence_gate(settings)

    (line,) = log_lines
    assert manifest.name == "mammo-clip"
    assert (line["event"], line["accepted_terms"]) == ("bundle_terms_accepted", WORDS)
    assert (line["bundle"], line["version"]) == ("mammo-clip", "1.0")


def test_warning_of_a_bundle_is_logged(tmp_path: Path, log_lines: list[Any]) -> None:
    bundle = write_bundle(tmp_path / "bundle", warning="UNTRAINED: outputs mean nothing")

    pass_licence_gate(ModelSettings(bundle=bundle, accept=WORDS))

    assert log_lines[0]["warning"] == "UNTRAINED: outputs mean nothing"


def test_unrestricted_bundle_needs_no_words(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", permitted_use="unrestricted use")

    assert pass_licence_gate(ModelSettings(bundle=bundle)).acceptance is None


def test_missing_bundle_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a bundle"):
        pass_licence_gate(ModelSettings(bundle=tmp_path / "absent"))


def test_demonstration_bundle_that_cannot_be_made_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'Traceback'>&2\necho \"no module 'torch'\" >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(model_bundle.sys, "executable", str(program))

    with pytest.raises(SettingsError, match="cannot be made here: no module 'torch'"):
        bundle_folder(ModelSettings())


def test_demonstration_bundle_is_where_the_child_process_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho making it\necho "/some/where $2 $3"\n')
    program.chmod(0o755)
    monkeypatch.setattr(model_bundle.sys, "executable", str(program))

    folder = bundle_folder(ModelSettings())

    assert folder == Path("/some/where mammoclip_core.cli demonstration-bundle")
    assert subprocess.run([program], check=True, capture_output=True).returncode == 0
