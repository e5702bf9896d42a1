import json
from pathlib import Path

import pytest
from core_factory import manifest_with, pair

from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.lexicon import DENSITY
from mammoclip_core.manifest import (
    EncoderEntry,
    OperatingPoint,
    read_manifest,
    require_acceptance,
    write_manifest,
)

MANIFEST = manifest_with(
    pair(
        "mass",
        calibration=(1.5, -0.25),
        operating_point=OperatingPoint(sensitivity=0.8, specificity=0.9, data="none"),
    ),
    DENSITY,
    pair(
        "opacity",
        isotonic=((0.4, 0.1), (0.6, 0.9)),
        ensembles=(("no opacity",), ("opacity", "an opacity")),
    ),
    encoders=(EncoderEntry(name="image", architecture="tf_efficientnet_b5", padding="published"),),
    text_encoder={"config": {"hidden_size": 768}, "pooling": "eos"},
    permitted_use="research use",
)


def test_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(MANIFEST, tmp_path)

    assert read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    "change", [{"format": 7}, {"surprise": 1}, {"findings": 3}, {"scoring": "odd"}]
)
def test_manifest_of_another_form_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write_manifest(MANIFEST, tmp_path)
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(BundleError, match="not a manifest"):
        read_manifest(tmp_path)


def test_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        read_manifest(tmp_path)


def test_restricted_bundle_names_the_words_that_accept_it() -> None:
    with pytest.raises(LicenceError, match=r'accept = "Apache-2\.0 research use"'):
        require_acceptance(MANIFEST, "yes")


def test_restricted_bundle_opens_with_its_words() -> None:
    require_acceptance(MANIFEST, "Apache-2.0 research use")


def test_unrestricted_bundle_needs_no_words() -> None:
    require_acceptance(manifest_with(), None)


def test_density_is_a_class_set() -> None:
    assert [entry.is_class_set for entry in MANIFEST.findings] == [False, True, False]
