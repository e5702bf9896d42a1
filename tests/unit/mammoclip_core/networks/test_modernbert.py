"""Mammo-FM: a ModernBERT's files into a bundle, and what they leave open refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_factory import (
    PROJECTION,
    State,
    configuration,
    encoder_state,
    projections,
    write_pretraining,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel

from mammoclip_core.engines.embeddings import embed_texts, load_text_model
from mammoclip_core.errors import CheckpointError
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import Manifest, read_manifest
from mammoclip_core.published.convert import convert
from mammoclip_core.published.modernbert_layout import was_trained

WORDS = sorted(
    {word for entry in DEFAULT_FINDINGS for text in entry.prompts for word in text.split()}
)
VOCABULARY = {
    word: number for number, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "[PAD]", *WORDS])
}
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "local_attention": 8,
    "pad_token_id": 3,
}
PREFIXES = {"ft": "text_encoder.", "huggingface": "text_encoder.text_encoder."}
LAST_NORM = "final_norm.weight"

Convert = Callable[..., Manifest]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(SIZES))
    return folder


@pytest.fixture(scope="module")
def model() -> ModernBertModel:
    torch.manual_seed(6)
    model = ModernBertModel(ModernBertConfig(**SIZES)).eval()
    with torch.no_grad():
        model.final_norm.weight.normal_(1, 0.5)
    return model


def state_with(model: ModernBertModel, source: str) -> State:
    return {
        **encoder_state(),
        **{PREFIXES[source] + name: value for name, value in model.state_dict().items()},
        **projections(),
        "logit_scale": torch.tensor(2.0),
    }


@pytest.fixture
def converted(tmp_path: Path, words: Path) -> Convert:
    def run(state: State, source: str, **changes: Any) -> Manifest:
        config = configuration(model__text_encoder__source=source, **changes)
        checkpoint = write_pretraining(tmp_path / "checkpoint.tar", state, config)
        return convert(checkpoint, str(words), tmp_path / "bundle")

    return run


def expected(model: ModernBertModel, text: str, *, final_norm: bool) -> torch.Tensor:
    """Compute a text's embedding by hand: hidden states of the last layer, at [SEP]."""
    kept = []
    hook = model.layers[-1].register_forward_hook(lambda *seen: kept.append(seen[-1]))
    ids = torch.tensor([[1, *(VOCABULARY[word] for word in text.split()), 2]])
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    hook.remove()
    before = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    vector = (hidden if final_norm else before)[0, -1]
    weight, bias = (
        projections()[f"text_projection.projection.{name}"] for name in ("weight", "bias")
    )
    return functional.normalize(weight @ vector + bias, dim=0)


@pytest.mark.parametrize(("source", "final_norm"), [("ft", False), ("huggingface", True)])
def test_text_embedding_is_that_of_the_source(
    converted: Convert, model: ModernBertModel, tmp_path: Path, source: str, final_norm: bool
) -> None:
    manifest = converted(state_with(model, source), source)

    embedding = embed_texts(load_text_model(tmp_path / "bundle"), ["suspicious calcification"])[0]

    wanted = expected(model, "suspicious calcification", final_norm=final_norm)
    other = expected(model, "suspicious calcification", final_norm=not final_norm)
    torch.testing.assert_close(torch.from_numpy(embedding), wanted, atol=1e-5, rtol=1e-4)
    assert (wanted - other).norm() > 0.01
    assert manifest.text_encoder["final_norm"] is final_norm
    assert manifest.left_out == (() if final_norm else (f"text_encoder.{LAST_NORM}",))
    assert "Mammo-FM" in manifest.licence


def test_capitals_do_not_matter(converted: Convert, model: ModernBertModel, tmp_path: Path) -> None:
    converted(state_with(model, "ft"), "ft")

    first, second = embed_texts(load_text_model(tmp_path / "bundle"), ["No Mass", "no mass"])

    assert first == pytest.approx(second)


def test_prompts_are_embedded(converted: Convert, model: ModernBertModel, tmp_path: Path) -> None:
    manifest = converted(state_with(model, "ft"), "ft")

    assert [entry.name for entry in manifest.findings] == [entry.name for entry in DEFAULT_FINDINGS]
    assert read_manifest(tmp_path / "bundle").projection_size == PROJECTION


def test_head_that_predicts_masked_words_is_left_out(converted: Convert, words: Path) -> None:
    masked = ModernBertForMaskedLM(ModernBertConfig(**SIZES))
    state = {
        **encoder_state(),
        **{f"text_encoder.{name}": value for name, value in masked.state_dict().items()},
        **projections(),
        "logit_scale": torch.tensor(2.0),
    }

    manifest = converted(state, "ft")

    assert "text_encoder.decoder.bias" in manifest.left_out
    assert "text_encoder.head.dense.weight" in manifest.left_out


@pytest.mark.parametrize("trained", [True, False])
def test_optimizer_tells_whether_the_last_norm_was_trained(
    model: ModernBertModel, words: Path, tmp_path: Path, trained: bool
) -> None:
    state = state_with(model, "ft")
    parameters = [
        name
        for name in state
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    numbers = range(len(parameters))
    idle = parameters.index(f"text_encoder.{LAST_NORM}")
    optimizer = {
        "state": {number: {"step": 1.0} for number in numbers if trained or number != idle},
        "param_groups": [{"lr": 1e-4, "params": list(numbers)}],
    }
    config = configuration(model__text_encoder__source="ft")
    path = tmp_path / "checkpoint.tar"
    torch.save({"model": state, "optimizer": optimizer, "config": config, "epoch": 3}, path)

    manifest = convert(path, str(words), tmp_path / "bundle")

    assert manifest.text_encoder["final_norm"] is trained


@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        {},
        {"state": {}, "param_groups": [{"params": [0, 1]}]},
        {"state": {0: {}}, "param_groups": [{"params": [0]}, {"params": [1]}]},
        {"state": {0: {}}, "param_groups": [{"params": [0]}]},
        {"state": {0: {}}, "param_groups": "none"},
    ],
)
def test_optimizer_that_tells_nothing_is_not_asked(optimizer: Any) -> None:
    assert was_trained(optimizer, ["a", LAST_NORM], LAST_NORM) is None


@pytest.mark.parametrize("source", ["huggingface", "elsewhere"])
def test_source_that_contradicts_the_tensors_is_refused(
    converted: Convert, model: ModernBertModel, source: str
) -> None:
    with pytest.raises(CheckpointError, match=rf"text source '{source}'.*text_encoder\."):
        converted(state_with(model, "ft"), source)


@pytest.mark.parametrize("name", ["layers.2.mlp.Wi.weight", "embeddings.norm.weight"])
def test_missing_tensor_is_named(converted: Convert, model: ModernBertModel, name: str) -> None:
    state = state_with(model, "huggingface")
    del state[PREFIXES["huggingface"] + name]

    with pytest.raises(CheckpointError, match=rf"missing: text_encoder\.text_encoder\.{name}"):
        converted(state, "huggingface")


def test_other_size_needs_its_configuration(
    model: ModernBertModel, words: Path, tmp_path: Path
) -> None:
    (tmp_path / "tokenizer.json").write_text((words / "tokenizer.json").read_text())
    config = configuration(model__text_encoder__source="ft")
    path = write_pretraining(tmp_path / "checkpoint.tar", state_with(model, "ft"), config)

    with pytest.raises(CheckpointError, match=r"64 dimensions and 4 layers.*--image-only"):
        convert(path, str(tmp_path), tmp_path / "bundle")


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"model": 3}'])
def test_tokenizer_that_is_none_is_refused(
    model: ModernBertModel, words: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "config.json").write_text((words / "config.json").read_text())
    config = configuration(model__text_encoder__source="ft")
    path = write_pretraining(tmp_path / "checkpoint.tar", state_with(model, "ft"), config)

    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not a tokenizer"):
        convert(path, str(tmp_path), tmp_path / "bundle")


def test_tokens_are_as_many_as_published_where_the_configuration_is_silent(
    converted: Convert, model: ModernBertModel
) -> None:
    manifest = converted(state_with(model, "ft"), "ft", base__text_max_length=None)

    assert manifest.text_encoder["max_tokens"] == 2048
