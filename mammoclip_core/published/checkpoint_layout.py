"""Which tensors a published checkpoint must hold, and under which names a bundle keeps them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from mammoclip_core.bundles.tensor_names import listed, tensor_differences
from mammoclip_core.errors import CheckpointError
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.projection import build_projection
from mammoclip_core.networks.text_encoder import POOLINGS
from mammoclip_core.published.models import ENCODER_NAMES, STAGE_SIZES, published_keys

IMAGE_PREFIX: Final = "image_encoder."
TEXT_PREFIX: Final = "text_encoder."
LEAST_TOKENS: Final = 3
"""The first, the last, and one between them."""

_BLOCK_NUMBER: Final = re.compile(r"_blocks\.(\d{1,4})\.")
_VERSION: Final = re.compile(r"efficientnet[-_]?(b\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one tensor of a checkpoint goes, and what shape it must have."""

    name: str
    shape: tuple[int, ...]


Plan = dict[str, Place]
"""By the checkpoint's own name: every tensor that it must hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSide:
    """The text encoder of a checkpoint.

    Attributes
    ----------
    state : all tensors of the checkpoint, the text encoder's under today's names
    plan : of the text encoder's tensors
    settings : as `manifest.Manifest.text_encoder` keeps them
    size : dimensions of a text's vector
    family : key of `published.TERMS`
    left_out : names of tensors that the file holds and nothing computes with
    """

    state: dict[str, Tensor]
    plan: Plan
    settings: dict[str, Any]
    size: int
    family: str
    left_out: tuple[str, ...]


def recognise_architecture(state: Mapping[str, Tensor], prefix: str, origin: str) -> str:
    """Tell which EfficientNet a state dictionary holds under a prefix, by its tensors alone.

    Raises
    ------
    CheckpointError
        Most of the tensors fit none of the known ones.
    """
    shapes = {
        name.removeprefix(prefix): tuple(value.shape)
        for name, value in state.items()
        if name.startswith(prefix)
    }
    numbers = [int(match[1]) for name in shapes if (match := _BLOCK_NUMBER.match(name))]
    count = max(numbers, default=-1) + 1
    candidates = [name for name, sizes in STAGE_SIZES.items() if sum(sizes) == count]
    fits = {name: _fit(shapes, name) for name in candidates or STAGE_SIZES}
    best = max(fits, key=lambda name: fits[name])
    if fits[best] < 0.5:
        raise CheckpointError(
            f"{origin} holds no image encoder of the published layout under {prefix!r}: "
            f"{count} blocks, {fits[best]:.0%} of its tensors are those of {best}; "
            f"it begins with {listed(state, 3)}"
        )
    return best


def check_named_encoder(name: object, architecture: str, origin: str) -> None:
    """Refuse a configuration that names another encoder than the tensors are."""
    text = str(name).lower()
    version = _VERSION.search(text)
    named = ENCODER_NAMES.get(text, f"tf_efficientnet_{version[1]}" if version else "")
    if named != architecture and (named or "efficientnet" not in text):
        what = f" ({named})" if named else ""
        raise CheckpointError(
            f"{origin}: its configuration names {name}{what}, its tensors are {architecture}"
        )


def encoder_plan(architecture: str, prefix: str, own_prefix: str) -> Plan:
    """Return the plan of an image encoder's tensors."""
    shapes = _encoder_shapes(architecture)
    return {
        prefix + key: Place(name=f"{own_prefix}backbone.{name}", shape=shapes[name])
        for name, key in published_keys(shapes, architecture).items()
    }


def projection_plan(kind: str, modality: str, size: int, projection_size: int) -> Plan:
    """Return the plan of a projection's tensors; empty where there is no projection."""
    with torch.device("meta"):
        projection = build_projection(kind, size, projection_size)
    own = f"{modality}_projection."
    inner = "projection." if isinstance(projection, nn.Linear) else ""
    return {
        own + inner + name: Place(name=own + name, shape=tuple(value.shape))
        for name, value in projection.state_dict().items()
    }


def rename(state: Mapping[str, Tensor], plan: Plan, origin: str) -> dict[str, Tensor]:
    """Return the tensors under the bundle's names, every one of the plan and no other.

    Raises
    ------
    CheckpointError
        Tensors are missing, unknown, of another shape, of another kind of number than the model
        computes with, or not finite; the message names them.
    """
    differences = tensor_differences(
        {key: place.shape for key, place in plan.items()},
        {key: tuple(value.shape) for key, value in state.items()},
    )
    if differences:
        raise CheckpointError(f"{origin}: its tensors do not fit the model: {differences}")
    renamed = {plan[key].name: _as_kept(key, value, origin) for key, value in state.items()}
    infinite = [
        key
        for key, place in plan.items()
        if renamed[place.name].is_floating_point() and not _is_finite(renamed[place.name])
    ]
    if infinite:
        raise CheckpointError(
            f"{origin}: tensors with values that are not finite: {listed(infinite)}"
        )
    return renamed


def wrapped_prefix(state: Mapping[str, Tensor], inner: str) -> str:
    """Return what the names of a text encoder's tensors begin with, wrapped once, twice or not."""
    prefix = TEXT_PREFIX
    for further in (TEXT_PREFIX, inner):
        if any(name.startswith(prefix + further) for name in state):
            prefix += further
    return prefix


def layers_of(
    state: Mapping[str, Tensor], prefix: str, number: re.Pattern[str], origin: str
) -> int:
    """Count the layers of a text encoder.

    Raises
    ------
    CheckpointError
        There is none, or one is missing in between.
    """
    numbers = {
        int(match[1])
        for name in state
        if name.startswith(prefix) and (match := number.match(name.removeprefix(prefix)))
    }
    if not numbers or len(numbers) != max(numbers) + 1:
        raise CheckpointError(f"{origin}: layers missing under {prefix}: it has {len(numbers)}")
    return len(numbers)


def pooling_of(config: Mapping[str, Any], origin: str) -> str:
    """Return how token vectors become one; raises CheckpointError if that is not known."""
    pooling: str = setting(config, "model.text_encoder.pooling", str, origin)
    if pooling not in POOLINGS:
        raise CheckpointError(
            f"{origin}: model.text_encoder.pooling {pooling!r} is not one of {', '.join(POOLINGS)}"
        )
    return pooling


def json_of(path: Path) -> Mapping[str, Any]:
    """Read a JSON object beside a tokenizer; empty if there is no such file.

    Raises
    ------
    CheckpointError
        The file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return content


def setting(config: Mapping[str, Any], key: str, kind: type, origin: str) -> Any:
    """Return a value of the nested training configuration, its path given with dots.

    Raises
    ------
    CheckpointError
        There is none, or it is of another type.
    """
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind):
        raise CheckpointError(
            f"{origin}: its configuration gives no {kind.__name__} under {key}: {value!r}"
        )
    return value


def _fit(shapes: Mapping[str, tuple[int, ...]], architecture: str) -> float:
    if not shapes:
        return 0.0
    expected = encoder_plan(architecture, "", "")
    fitting = sum(key in expected and expected[key].shape == shape for key, shape in shapes.items())
    return fitting / len(shapes)


def _encoder_shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        backbone = ImageEncoder(architecture).backbone
    return {name: tuple(value.shape) for name, value in backbone.state_dict().items()}


def _as_kept(key: str, value: Tensor, origin: str) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return value.long()
    if not value.is_floating_point():
        raise CheckpointError(f"{origin}: {key} holds {value.dtype}, not real numbers")
    return value.float()


def _is_finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())
