"""The ways of computing a pretraining step that the training benchmark holds side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PLAIN: Final = "eager float32"
HALF: Final = "channels_last, bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a step is computed, and of what.

    Attributes
    ----------
    pairs : breasts in a batch, two images and two texts each
    chunk : breasts computed at a time, 0 for all
    precision : as Lightning names it
    """

    architecture: str
    is_small_text: bool
    tokenizer: str
    rows: int
    columns: int
    pairs: int
    precision: str
    channels_last: bool
    checkpointing: bool
    chunk: int
    device: str
    threads: int


def ways_of(common: Mapping[str, Any], pairs: int, large: int) -> dict[str, Way]:
    """Return plain eager float32 and our settings, each by its name."""
    plain = {"precision": "32-true", "channels_last": False, "checkpointing": False, "chunk": 0}
    half = {**plain, "precision": "bf16-mixed", "channels_last": True}
    chunk = max(pairs // 2, 1)
    ways = {
        PLAIN: plain,
        "channels_last": {**plain, "channels_last": True},
        HALF: half,
        "the same, checkpointing": {**half, "checkpointing": True},
        f"the same, gradient cache by {chunk}": {**half, "chunk": chunk},
        f"the same, both, by {chunk}": {**half, "chunk": chunk, "checkpointing": True},
    }
    named = {name: Way(**common, **way, pairs=pairs) for name, way in ways.items()}
    if large:
        name = f"{large} pairs, bfloat16, checkpointing, gradient cache by {pairs}"
        cached = {**half, "chunk": pairs, "checkpointing": True}
        named[name] = Way(**common, **cached, pairs=large)
    return named
