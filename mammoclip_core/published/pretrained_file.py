"""A published pretraining checkpoint read as the tensors of a bundle's model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mammoclip_core.bundles.tensor_names import listed
from mammoclip_core.errors import CheckpointError
from mammoclip_core.manifest import Preprocessing
from mammoclip_core.networks.numpy_projection import LINEAR, MLP, NONE
from mammoclip_core.published.bert_layout import bert_side, is_bert
from mammoclip_core.published.checkpoint import read_checkpoint, tensors_of
from mammoclip_core.published.checkpoint_layout import (
    IMAGE_PREFIX,
    TEXT_PREFIX,
    Place,
    TextSide,
    check_named_encoder,
    encoder_plan,
    projection_plan,
    recognise_architecture,
    rename,
    setting,
)
from mammoclip_core.published.models import TERMS, Terms
from mammoclip_core.published.modernbert_layout import is_modernbert, modernbert_side

CLASSIFIER: Final = "classifier.classification_head."
BARE_CLASSIFIER: Final = "_fc."

_SCALE: Final = "logit_scale"
_TEMPERATURE_FREE_SCALE: Final = 1.0
"""What a model without a temperature in its configuration uses: it has no tensor for it."""

_SIDES: Final = range(32, 8193)
"""Pixels that a side of the model input may have: others are a damaged or hostile file's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """A pretraining checkpoint under the bundle's names.

    Attributes
    ----------
    text_encoder : as `manifest.Manifest.text_encoder` keeps it; empty without a text side
    left_out : names of tensors that the file holds and the bundle does not
    beyond_the_paper : as `manifest.Manifest.beyond_the_paper`
    """

    state: dict[str, Tensor]
    architecture: str
    projection: str
    projection_size: int
    text_encoder: Mapping[str, Any]
    preprocessing: Preprocessing
    epoch: int | None
    terms: Terms
    left_out: tuple[str, ...]
    beyond_the_paper: Mapping[str, str]


def read_pretrained(path: Path, tokenizer_folder: Path | None) -> Pretrained:
    """Read a published pretraining checkpoint, without running any of it.

    Parameters
    ----------
    tokenizer_folder : the text encoder's, or None to leave the text side out

    Raises
    ------
    CheckpointError
        The file is damaged, unsafe, of another model, contradicts itself, or leaves open what its
        text side needs; what it is about is named.
    """
    origin = path.name
    content = read_checkpoint(path)
    if "model" not in content:
        kind = " (a detector's)" if "state_dict" in content else ""
        raise CheckpointError(f"{origin} is not a pretraining checkpoint{kind}: it has no 'model'")
    config = content.get("config")
    state = tensors_of(content, "model", origin)
    if any(name.startswith((CLASSIFIER, BARE_CLASSIFIER)) for name in state):
        raise CheckpointError(f"{origin} is a fine-tuned classifier: give it by --head NAME=FILE")
    architecture = recognise_architecture(state, IMAGE_PREFIX, origin)
    if not isinstance(config, Mapping):
        raise CheckpointError(f"{origin} has no configuration: pooling and input size are unknown")
    check_named_encoder(
        setting(config, "model.image_encoder.name", str, origin), architecture, origin
    )
    preprocessing = _preprocessing_of(config, origin)
    plan = encoder_plan(architecture, IMAGE_PREFIX, IMAGE_PREFIX)
    features = plan[f"{IMAGE_PREFIX}_conv_head.weight"].shape[0]
    kind, projection_size = _projection_of(state, features, config, origin)
    plan |= projection_plan(kind, "image", features, projection_size)
    text = _text_side(state, content, tokenizer_folder, origin)
    terms = TERMS[_family(state, text)]
    if text is None:
        left_out = tuple(name for name in state if name.startswith(TEXT_PREFIX))
        state = _without_text(state)
    else:
        state, left_out = text.state, text.left_out
        if kind == NONE and text.size != features:
            raise CheckpointError(
                f"{origin} has no projections, and its encoders give {features} and {text.size} "
                "dimensions: they cannot be compared"
            )
        plan |= text.plan
        plan |= projection_plan(kind, "text", text.size, projection_size)
    state = _with_scale(state, config, origin)
    plan[_SCALE] = Place(name=_SCALE, shape=())
    epoch = content.get("epoch")
    return Pretrained(
        state=rename(state, plan, origin),
        architecture=architecture,
        projection=kind,
        projection_size=projection_size,
        text_encoder=text.settings if text else {},
        preprocessing=preprocessing,
        epoch=epoch if isinstance(epoch, int) else None,
        terms=terms,
        left_out=left_out,
        beyond_the_paper=_beyond_the_paper(config),
    )


def _beyond_the_paper(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of this package's own pretraining; published files have none."""
    stated = config.get("beyond_the_paper")
    if not isinstance(stated, Mapping):
        return {}
    return {str(name): str(value) for name, value in stated.items()}


def _text_side(
    state: Mapping[str, Tensor],
    content: Mapping[str, Any],
    tokenizer_folder: Path | None,
    origin: str,
) -> TextSide | None:
    """Read the text side; None where it is to be left out, or of a kind that nobody knows."""
    if tokenizer_folder is None:
        return None
    config = content["config"]
    if is_bert(state):
        return bert_side(state, config, tokenizer_folder, origin)
    if is_modernbert(state):
        return modernbert_side(state, config, content.get("optimizer"), tokenizer_folder, origin)
    return None


def _family(state: Mapping[str, Tensor], text: TextSide | None) -> str:
    """Tell whose terms hold; where no text encoder tells, the stricter ones."""
    if text is not None:
        return text.family
    return "mammo-clip" if is_bert(state) else "mammo-fm"


def _without_text(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefixes = (TEXT_PREFIX, "text_projection.")
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def _with_scale(
    state: dict[str, Tensor], config: Mapping[str, Any], origin: str
) -> dict[str, Tensor]:
    """Add the scale of a model without a temperature: a constant that its file does not hold."""
    temperature = config["model"].get("temperature")
    if temperature is not None:
        return state
    if _SCALE in state:
        raise CheckpointError(
            f"{origin}: its configuration has no model.temperature, its tensors hold {_SCALE}"
        )
    return {_SCALE: torch.tensor(_TEMPERATURE_FREE_SCALE), **state}


def _projection_of(
    state: Mapping[str, Tensor], features: int, config: Mapping[str, Any], origin: str
) -> tuple[str, int]:
    """Tell the form of the projections and the size of the common space."""
    if any("_projection.fc." in name for name in state):
        kind = MLP
    elif any("_projection." in name for name in state):
        kind = LINEAR
    else:
        kind = NONE
    head = config["model"].get("projection_head")
    named = head.get("name") if isinstance(head, Mapping) else None
    if (named or NONE) != kind:
        raise CheckpointError(
            f"{origin}: its configuration names the projection {named!r} under "
            f"model.projection_head, its tensors make {kind!r}"
        )
    if kind == NONE:
        return kind, features
    known = [f"{modality}_projection.projection.weight" for modality in ("image", "text")]
    weights = [state[name] for name in known if name in state]
    if not weights or any(value.ndim != 2 for value in weights):
        raise CheckpointError(f"{origin}: missing or misshapen tensor: {listed(known)}")
    size = int(weights[0].shape[0])
    if isinstance(head, Mapping) and head.get("proj_dim", size) != size:
        raise CheckpointError(
            f"{origin}: its configuration names {head['proj_dim']!r} dimensions under "
            f"model.projection_head.proj_dim, its tensors have {size}"
        )
    return kind, size


def _preprocessing_of(config: Mapping[str, Any], origin: str) -> Preprocessing:
    preprocessing = Preprocessing(
        mode="published",
        rows=setting(config, "base.image_size_h", int, origin),
        columns=setting(config, "base.image_size_w", int, origin),
        mean=setting(config, "base.mean", float, origin),
        std=setting(config, "base.std", float, origin),
    )
    sides = (preprocessing.rows, preprocessing.columns)
    if any(side not in _SIDES for side in sides):
        raise CheckpointError(
            f"{origin}: base.image_size_h and base.image_size_w are {sides[0]} x {sides[1]}"
        )
    if not (math.isfinite(preprocessing.mean) and 0 < preprocessing.std < math.inf):
        raise CheckpointError(
            f"{origin}: base.mean {preprocessing.mean} and base.std {preprocessing.std} scale "
            "nothing"
        )
    return preprocessing
