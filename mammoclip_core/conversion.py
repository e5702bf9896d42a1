"""Published checkpoints into a bundle: what they hold is checked, renamed and written down."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mammoclip_core import projection
from mammoclip_core.bundle import write_bundle
from mammoclip_core.checkpoint import read_checkpoint, tensors_of
from mammoclip_core.checkpoint_layout import (
    IMAGE_PREFIX,
    Place,
    check_named_encoder,
    encoder_plan,
    projection_plan,
    recognise_architecture,
    rename,
    setting,
)
from mammoclip_core.checkpoint_text import (
    bert_config,
    bert_plan,
    check_vocabulary,
    text_prefix,
    with_current_names,
    without_text,
)
from mammoclip_core.detector_conversion import with_detector
from mammoclip_core.errors import CheckpointError
from mammoclip_core.factor_file import read_factor
from mammoclip_core.heads import finding_of_head, head_prefix
from mammoclip_core.image_encoder import PUBLISHED_PADDING
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import (
    EncoderEntry,
    FindingEntry,
    HeadEntry,
    Manifest,
    Preprocessing,
    file_sha256,
)
from mammoclip_core.published import TERMS, Terms
from mammoclip_core.text_encoder import TextEncoder, Tokenizer
from mammoclip_core.text_model import TextModel
from mammoclip_core.tokenizer_files import copy_tokenizer, find_tokenizer

IMAGE: Final = "image"
"""Name of the encoder that the prompts are compared with."""

CLASSIFIER: Final = "classifier.classification_head."
BARE_CLASSIFIER: Final = "_fc."

_TEMPERATURE_FREE_SCALE: Final = 1.0
"""What a model without a temperature in its configuration uses: it has no tensor for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pretrained:
    """A pretraining checkpoint under the bundle's names."""

    state: dict[str, Tensor]
    architecture: str
    projection: str
    projection_size: int
    text_encoder: Mapping[str, Any]
    preprocessing: Preprocessing
    epoch: int | None
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Classifier:
    """A fine-tuned classifier under the bundle's names."""

    state: dict[str, Tensor]
    encoder: EncoderEntry
    head: HeadEntry
    finding: FindingEntry


def convert(
    checkpoint: Path,
    tokenizer: str,
    out: Path,
    *,
    heads: Mapping[str, Path] | None = None,
    factor: Path | None = None,
    detectors: Mapping[str, Path] | None = None,
) -> Manifest:
    """Convert a published pretraining checkpoint, and fine-tuned heads, into a bundle.

    Parameters
    ----------
    tokenizer : folder with ``vocab.txt``, or a name on the model hub
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    heads : classifier checkpoints by name
        Names of `heads.HEAD_FINDINGS`.
    factor : safetensors file of Mammo-FActOR weights
        Trained on this checkpoint's encoder; tensors as `factor.factor_name` calls them.
    detectors : detector checkpoints by name
        Names of `heads.HEAD_FINDINGS`: a file does not tell what it finds.

    Raises
    ------
    CheckpointError
        A file is damaged, unsafe or of another model, the tokenizer is another model's, or the
        output folder is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CheckpointError(f"{out} is not empty: name another folder")
    tokenizer_folder = find_tokenizer(tokenizer)
    pretrained = _read_pretrained(checkpoint, tokenizer_folder)
    files = dict(heads or {})
    classifiers = [_read_classifier(name, path) for name, path in files.items()]
    _check_one_head_a_finding(classifiers)
    sources = {"checkpoint": file_sha256(checkpoint)}
    sources |= {f"head {name}": file_sha256(path) for name, path in files.items()}
    manifest = _manifest(checkpoint, pretrained, classifiers, sources)
    state = dict(pretrained.state)
    if factor is not None:
        sources["factor"] = file_sha256(factor)
        attributes, tensors = read_factor(factor, manifest)
        manifest = replace(manifest, factor=attributes, sources=sources)
        state.update(tensors)
    for name, path in (detectors or {}).items():
        sources[f"detector {name}"] = file_sha256(path)
        manifest, tensors = with_detector(replace(manifest, sources=sources), name, path)
        state.update(tensors)
    for classifier in classifiers:
        state.update(classifier.state)
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        copied = making / "copied"
        copy_tokenizer(tokenizer_folder, copied)
        prompts = _prompt_embeddings(pretrained, manifest.findings, copied)
        folder = making / "bundle"
        folder.mkdir()
        kept = copied if manifest.text_encoder else None
        written = write_bundle(state, manifest, prompts, kept, folder)
        folder.replace(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return written


def _read_pretrained(path: Path, tokenizer_folder: Path) -> _Pretrained:
    origin = path.name
    content = read_checkpoint(path)
    if "model" not in content:
        kind = " (a detector's)" if "state_dict" in content else ""
        raise CheckpointError(f"{origin} is no pretraining checkpoint{kind}: no 'model' in it")
    config = content.get("config")
    state = tensors_of(content, "model", origin)
    if any(name.startswith((CLASSIFIER, BARE_CLASSIFIER)) for name in state):
        raise CheckpointError(f"{origin} is a fine-tuned classifier: give it by --head NAME=FILE")
    architecture = recognise_architecture(state, IMAGE_PREFIX, origin)
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{origin} holds no configuration: pooling and pixels are unknown")
    check_named_encoder(
        setting(config, "model.image_encoder.name", str, origin), architecture, origin
    )
    plan = encoder_plan(architecture, IMAGE_PREFIX, IMAGE_PREFIX)
    features = plan[f"{IMAGE_PREFIX}_conv_head.weight"].shape[0]
    kind, projection_size = _projection_of(state, features, origin)
    plan |= projection_plan(kind, "image", features, projection_size)
    prefix = text_prefix(state)
    text_encoder: dict[str, Any] = {}
    if prefix is None:
        state = without_text(state)
    else:
        state = with_current_names(state, prefix)
        bert = bert_config(state, prefix, tokenizer_folder, origin)
        check_vocabulary(tokenizer_folder, bert["vocab_size"], origin)
        plan |= bert_plan(bert, prefix)
        plan |= projection_plan(kind, "text", bert["hidden_size"], projection_size)
        text_encoder = {
            "config": bert,
            "pooling": setting(config, "model.text_encoder.pooling", str, origin),
            "do_lower_case": True,
            "max_tokens": setting(config, "base.text_max_length", int, origin),
        }
    if config.get("model", {}).get("temperature") is None:
        state = {"logit_scale": torch.tensor(_TEMPERATURE_FREE_SCALE), **state}
    plan["logit_scale"] = Place(name="logit_scale", shape=())
    epoch = content.get("epoch")
    return _Pretrained(
        state=rename(state, plan, origin),
        architecture=architecture,
        projection=kind,
        projection_size=projection_size,
        text_encoder=text_encoder,
        preprocessing=_preprocessing_of(config, origin),
        epoch=epoch if isinstance(epoch, int) else None,
        terms=TERMS["mammo-clip" if prefix is not None else "mammo-fm"],
    )


def _projection_of(state: Mapping[str, Tensor], features: int, origin: str) -> tuple[str, int]:
    """Tell the form of the projections and the size of the common space."""
    weights = [
        value
        for name, value in state.items()
        if name in {"image_projection.projection.weight", "text_projection.projection.weight"}
    ]
    if any("_projection.fc." in name for name in state):
        kind = projection.MLP
    elif any("_projection." in name for name in state):
        kind = projection.LINEAR
    else:
        return projection.NONE, features
    if not weights or any(value.ndim != 2 for value in weights):
        raise CheckpointError(
            f"{origin}: missing or misshapen tensor: image_projection.projection.weight"
        )
    return kind, int(weights[0].shape[0])


def _preprocessing_of(config: Mapping[str, Any], origin: str) -> Preprocessing:
    return Preprocessing(
        mode="published",
        rows=setting(config, "base.image_size_h", int, origin),
        columns=setting(config, "base.image_size_w", int, origin),
        mean=setting(config, "base.mean", float, origin),
        std=setting(config, "base.std", float, origin),
    )


def _read_classifier(name: str, path: Path) -> _Classifier:
    origin = path.name
    state = tensors_of(read_checkpoint(path), "model", origin)
    bare = any(key.startswith(BARE_CLASSIFIER) for key in state)
    prefix, linear = ("", BARE_CLASSIFIER) if bare else (IMAGE_PREFIX, CLASSIFIER)
    weight = state.get(f"{linear}weight")
    if weight is None or weight.ndim != 2:
        raise CheckpointError(f"{origin} is no fine-tuned classifier: no {linear}weight in it")
    outputs = int(weight.shape[0])
    finding = finding_of_head(name, outputs)
    own = head_prefix(name)
    encoder = {key: value for key, value in state.items() if not key.startswith(linear)}
    architecture = recognise_architecture(encoder, prefix, origin)
    plan = encoder_plan(architecture, prefix, f"{own}encoder.")
    features = plan[f"{prefix}_conv_head.weight"].shape[0]
    plan[f"{linear}weight"] = Place(name=f"{own}linear.weight", shape=(outputs, features))
    plan[f"{linear}bias"] = Place(name=f"{own}linear.bias", shape=(outputs,))
    return _Classifier(
        state=rename(state, plan, origin),
        encoder=EncoderEntry(name=name, architecture=architecture, padding=PUBLISHED_PADDING),
        head=HeadEntry(name=name, encoder=name, outputs=outputs),
        finding=finding,
    )


def _check_one_head_a_finding(classifiers: Sequence[_Classifier]) -> None:
    names = [item.finding.name for item in classifiers]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise CheckpointError(f"two heads answer the same finding: {', '.join(sorted(doubled))}")


def _manifest(
    checkpoint: Path,
    pretrained: _Pretrained,
    classifiers: Sequence[_Classifier],
    sources: Mapping[str, str],
) -> Manifest:
    terms = pretrained.terms
    epoch = "" if pretrained.epoch is None else f"epoch-{pretrained.epoch}-"
    answered = {item.finding.name: item.finding for item in classifiers}
    with_prompts = DEFAULT_FINDINGS if pretrained.text_encoder else ()
    findings = [answered.pop(entry.name, entry) for entry in with_prompts]
    return Manifest(
        name=f"{terms.name}-{pretrained.architecture.rpartition('_')[2]}",
        version=f"{epoch}{sources['checkpoint'][:12]}",
        weights_sha256="",
        licence=terms.licence,
        permitted_use=terms.permitted_use,
        trained_on=terms.trained_on,
        intended_use=terms.intended_use,
        encoders=(
            EncoderEntry(
                name=IMAGE, architecture=pretrained.architecture, padding=PUBLISHED_PADDING
            ),
            *(item.encoder for item in classifiers),
        ),
        text_encoder=pretrained.text_encoder,
        projection_size=pretrained.projection_size,
        projection=pretrained.projection,
        logit_scale=float(pretrained.state["logit_scale"]),
        preprocessing=pretrained.preprocessing,
        findings=(*findings, *(replace(entry, prompts=()) for entry in answered.values())),
        heads=tuple(item.head for item in classifiers),
        sources=dict(sources),
        attribution="grad_cam" if pretrained.projection == projection.MLP else "cam",
    )


def _prompt_embeddings(
    pretrained: _Pretrained, findings: Sequence[FindingEntry], tokenizer_folder: Path
) -> dict[str, Tensor]:
    if not pretrained.text_encoder:
        return {}
    text = pretrained.text_encoder
    model = TextModel(
        TextEncoder(text["config"], text["pooling"]),
        Tokenizer(
            tokenizer_folder, do_lower_case=text["do_lower_case"], max_tokens=text["max_tokens"]
        ),
        pretrained.projection,
        pretrained.projection_size,
    )
    model.load(pretrained.state)
    return {entry.name: model(entry.prompts) for entry in findings if entry.prompts}
