"""Which models pretraining begins with, and which it refuses by name."""

import json

import pytest
from transformers import BertConfig, BertModel

from mammoclip_core.bundles.demonstration import copy_demonstration_bundle
from mammoclip_core.errors import BundleError, CheckpointError
from mammoclip_core.manifest import MANIFEST_NAME, WEIGHTS_NAME
from training.errors import SettingsError
from training.examples.demonstration.vocabulary import write_trained_tokenizer
from training.pretraining.network import NetworkSettings, build_network, settled

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def test_bundle_with_a_modernbert_is_refused_by_name(tmp_path):
    bundle = tmp_path / "mammo-fm"
    copy_demonstration_bundle(bundle)
    path = bundle / MANIFEST_NAME
    content = json.loads(path.read_text(encoding="utf-8"))
    content["text_encoder"]["kind"] = "modernbert"
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(SettingsError, match=r"mammo-fm: its text encoder is a ModernBERT, as Mamm"):
        build_network(settled(NetworkSettings(bundle=str(bundle))))


def test_altered_or_cut_bundle_is_refused(tmp_path):
    bundle = tmp_path / "mine"
    copy_demonstration_bundle(bundle)
    weights = bundle / WEIGHTS_NAME
    whole = weights.read_bytes()
    settings = settled(NetworkSettings(bundle=str(bundle)))

    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError):
        build_network(settings)
    weights.write_bytes(whole[:-1000])
    with pytest.raises(BundleError):
        build_network(settings)


def test_damaged_file_of_image_weights_is_refused(tmp_path):
    write_trained_tokenizer(tmp_path / "tokenizer", attention_heads=2, hidden_size=32)
    (tmp_path / "encoder.safetensors").write_bytes(bytes(100))

    with pytest.raises(SettingsError, match=r"encoder\.safetensors is damaged or no file of weigh"):
        build_network(
            NetworkSettings(
                tokenizer=str(tmp_path / "tokenizer"),
                image_weights=str(tmp_path / "encoder.safetensors"),
                text_config=SMALL,
            )
        )


@pytest.mark.parametrize("more", [-3, 50])
def test_tokenizer_of_another_text_encoder_is_refused_before_the_first_step(tmp_path, more):
    folder = tmp_path / "tokenizer"
    write_trained_tokenizer(folder, attention_heads=2, hidden_size=32)
    words = len((folder / "vocab.txt").read_text().split())
    BertModel(BertConfig(vocab_size=words + more, **SMALL)).save_pretrained(tmp_path / "bert")

    with pytest.raises(
        CheckpointError, match=f"has embeddings for {words + more} words, the tokenizer knows"
    ):
        build_network(
            NetworkSettings(
                tokenizer=str(folder),
                image_weights="random",
                text_weights=str(tmp_path / "bert"),
            )
        )
