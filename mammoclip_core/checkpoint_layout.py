"""Which tensors a published checkpoint must hold, and under which names a bundle keeps them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from mammoclip_core.checkpoint import listed, tensor_differences
from mammoclip_core.errors import CheckpointError
from mammoclip_core.image_encoder import ImageEncoder
from mammoclip_core.projection import build_projection
from mammoclip_core.published import ENCODER_NAMES, STAGE_SIZES, published_keys

IMAGE_PREFIX: Final = "image_encoder."

_BLOCK_NUMBER: Final = re.compile(r"_blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one tensor of a checkpoint goes, and what shape it must have."""

    name: str
    shape: tuple[int, ...]


Plan = dict[str, Place]
"""By the checkpoint's own name: every tensor that it must hold."""


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
    named = ENCODER_NAMES.get(str(name))
    if named is not None and named != architecture:
        raise CheckpointError(
            f"{origin}: its configuration names {name} ({named}), its tensors are {architecture}"
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
        raise CheckpointError(
            f"{origin} is not the model that it seems to be: tensors {differences}"
        )
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
    # Over all names of either side: B0 holds every tensor of Lite0, and more.
    return fitting / len(expected.keys() | shapes.keys())


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
