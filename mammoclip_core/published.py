"""Names of the published weights, and what they are called in timm."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

STAGE_SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "tf_efficientnet_b2": (2, 3, 3, 4, 4, 5, 2),
    "tf_efficientnet_b5": (3, 5, 5, 7, 7, 9, 3),
}
"""Blocks of each stage: the published names count through, timm's begin anew in each stage."""

_OUTER: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
}
_FIRST_STAGE: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LATER_STAGES: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK: Final = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def timm_keys(keys: Iterable[str], architecture: str) -> dict[str, str]:
    """Map the published names of an image encoder's tensors to timm's.

    Parameters
    ----------
    keys : names without any prefix, for example ``_blocks.3._bn1.weight``
    architecture : key of `STAGE_SIZES`

    Raises
    ------
    KeyError
        A name is none of the published ones.
    """
    places = [
        (stage, block)
        for stage, blocks in enumerate(STAGE_SIZES[architecture])
        for block in range(blocks)
    ]
    return {key: _timm_key(key, places) for key in keys}


def _timm_key(key: str, places: list[tuple[int, int]]) -> str:
    match = _BLOCK.fullmatch(key)
    if match is None:
        layer, _, attribute = key.rpartition(".")
        return f"{_OUTER[layer]}.{attribute}"
    number, layer, attribute = match.groups()
    if int(number) >= len(places):
        raise KeyError(key)
    stage, block = places[int(number)]
    names = _FIRST_STAGE if stage == 0 else _LATER_STAGES
    return f"blocks.{stage}.{block}.{names[layer]}.{attribute}"
