from pathlib import Path
from typing import Any

import pytest
from licensed_bundle import WORDS, write_bundle

from dicom_node.errors import SettingsError
from dicom_node.model_bundle import pass_licence_gate
from dicom_node.settings.model import ModelSettings


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


def test_without_a_bundle_the_demonstration_weights_answer() -> None:
    manifest = pass_licence_gate(ModelSettings(accept="Apache-2.0 demonstration use"))

    assert manifest.trained_on == "synthetic phantoms"
    assert "trained on synthetic phantoms" in manifest.warning
