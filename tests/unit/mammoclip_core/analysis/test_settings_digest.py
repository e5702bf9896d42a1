"""The digest of an engine's settings changes with every setting that changes the answer."""

from dataclasses import replace

from core_factory import PUBLISHED, StandInModel, manifest_with, pair
from engine_factory import TORCH

from mammoclip_core.analysis.engine import Engine


def test_equal_settings_have_equal_digests() -> None:
    digests = {Engine(StandInModel(manifest_with())).settings_sha256 for _ in range(2)}

    assert len(digests) == 1


def test_every_setting_that_changes_the_answer_changes_the_digest() -> None:
    engines = [
        Engine(StandInModel(manifest_with())),
        Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, precision="bfloat16")),
        Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, name="openvino")),
        Engine(StandInModel(manifest_with(pair("mass", threshold=0.6)))),
        Engine(StandInModel(manifest_with(scoring="tempered"))),
        Engine(StandInModel(manifest_with(pair("mass", isotonic=((0.4, 0.1), (0.6, 0.9)))))),
        Engine(StandInModel(manifest_with(replace(pair("mass"), prompts=("none", "mass"))))),
        Engine(StandInModel(manifest_with(preprocessing=replace(PUBLISHED, rows=760)))),
    ]

    assert len({engine.settings_sha256 for engine in engines}) == len(engines)


def test_version_of_the_engine_does_not_change_the_digest() -> None:
    other = Engine(StandInModel(manifest_with()), computed_by=replace(TORCH, version="9"))

    assert other.settings_sha256 == Engine(StandInModel(manifest_with())).settings_sha256


def test_batch_size_does_not_change_the_digest() -> None:
    one = Engine(StandInModel(manifest_with()), batch_size=1)

    assert one.settings_sha256 == Engine(StandInModel(manifest_with())).settings_sha256
