"""The published weights: where and under which terms they are, what timm calls their tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a bundle of published weights states about them.

    Attributes
    ----------
    licence : SPDX identifier where there is one
    """

    name: str
    licence: str
    permitted_use: str
    trained_on: str
    intended_use: str


TERMS: Final[Mapping[str, Terms]] = {
    "mammo-clip": Terms(
        name="mammo-clip",
        licence="CC-BY-NC-SA-4.0",
        permitted_use="research use",
        trained_on="mammograms with reports, as the authors of Mammo-CLIP describe",
        intended_use="research on mammograms; no diagnosis",
    ),
    "mammo-fm": Terms(
        name="mammo-fm",
        licence="LicenseRef-Mammo-FM-Academic",
        permitted_use="academic research use, without redistribution or hosting",
        trained_on="mammograms with reports, as the authors of Mammo-FM describe",
        intended_use="academic research on mammograms; no diagnosis",
    ),
}
"""By family of models. Their authors' words are binding; these only name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a repository on the model hub.

    Attributes
    ----------
    revision : branch, tag or commit
        The commit that a branch stood at is written into the bundle.
    """

    repository: str
    path: str
    revision: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """The files of a published model, and what they are expected to be.

    Attributes
    ----------
    family : key of `TERMS`
    architecture : key of `STAGE_SIZES`
    """

    checkpoint: HubFile
    tokenizer: tuple[HubFile, ...]
    family: str
    architecture: str


_BIO_CLINICAL_BERT: Final = tuple(
    HubFile(repository="emilyalsentzer/Bio_ClinicalBERT", path=path)
    for path in ("vocab.txt", "config.json")
)
"""MIT licence. The checkpoints hold the weights; only the vocabulary and the head count lack."""

PUBLISHED: Final[Mapping[str, PublishedModel]] = {
    "b5": PublishedModel(
        checkpoint=HubFile(
            repository="shawn24/Mammo-CLIP",
            path="Pre-trained-checkpoints/b5-model-best-epoch-7.tar",
        ),
        tokenizer=_BIO_CLINICAL_BERT,
        family="mammo-clip",
        architecture="tf_efficientnet_b5",
    ),
    "b2": PublishedModel(
        checkpoint=HubFile(
            repository="shawn24/Mammo-CLIP",
            path="Pre-trained-checkpoints/b2-model-best-epoch-10.tar",
        ),
        tokenizer=_BIO_CLINICAL_BERT,
        family="mammo-clip",
        architecture="tf_efficientnet_b2",
    ),
}
"""The models that ``mammoclip-predict fetch`` downloads."""

STAGE_SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "tf_efficientnet_b0": (1, 2, 2, 3, 3, 4, 1),
    "tf_efficientnet_b1": (2, 3, 3, 4, 4, 5, 2),
    "tf_efficientnet_b2": (2, 3, 3, 4, 4, 5, 2),
    "tf_efficientnet_b3": (2, 3, 3, 5, 5, 6, 2),
    "tf_efficientnet_b4": (2, 4, 4, 6, 6, 8, 2),
    "tf_efficientnet_b5": (3, 5, 5, 7, 7, 9, 3),
    "tf_efficientnet_b6": (3, 6, 6, 8, 8, 11, 3),
    "tf_efficientnet_b7": (4, 7, 7, 10, 10, 13, 4),
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
ENCODER_NAMES: Final[Mapping[str, str]] = {
    "tf_efficientnet_b5_ns-detect": "tf_efficientnet_b5",
    "tf_efficientnetv2-detect": "tf_efficientnet_b2",
}
"""Encoder names of published training configurations; the second is B2 despite its name."""

_BLOCK: Final = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")
_TIMM_BLOCK: Final = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)\.(\w+)")


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


def published_keys(names: Iterable[str], architecture: str) -> dict[str, str]:
    """Map timm's names of an image encoder's tensors to the published ones.

    Raises
    ------
    KeyError
        A name is none of timm's.
    """
    first_block = list(accumulate(STAGE_SIZES[architecture], initial=0))
    return {name: _published_key(name, first_block) for name in names}


def _published_key(name: str, first_block: list[int]) -> str:
    match = _TIMM_BLOCK.fullmatch(name)
    if match is None:
        layer, _, attribute = name.rpartition(".")
        return f"{_key_of(_OUTER, layer)}.{attribute}"
    stage, block, layer, attribute = match.groups()
    layers = _FIRST_STAGE if int(stage) == 0 else _LATER_STAGES
    number = first_block[int(stage)] + int(block)
    return f"_blocks.{number}.{_key_of(layers, layer)}.{attribute}"


def _key_of(names: Mapping[str, str], value: str) -> str:
    return {timm_name: published for published, timm_name in names.items()}[value]


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
