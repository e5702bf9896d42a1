"""Which models pretraining begins with, and which it refuses by name."""

import json

import pytest

from mammoclip_core.bundles.demonstration import copy_demonstration_bundle
from mammoclip_core.manifest import MANIFEST_NAME
from training.errors import SettingsError
from training.pretraining.network import NetworkSettings, build_network, settled


def test_bundle_with_a_modernbert_is_refused_by_name(tmp_path):
    bundle = tmp_path / "mammo-fm"
    copy_demonstration_bundle(bundle)
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["text_encoder"]["kind"] = "modernbert"
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(SettingsError, match=r"mammo-fm: its text encoder is a ModernBERT, as Mamm"):
        build_network(settled(NetworkSettings(bundle=str(bundle))))
