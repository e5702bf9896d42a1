"""The model that pretraining begins with: fresh, on ImageNet's weights, or from a bundle."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mammoclip_core.bundles.tensors import check_weights, declared
from mammoclip_core.images.preprocessing import PUBLISHED_MEAN, PUBLISHED_STD
from mammoclip_core.manifest import TOKENIZER_FOLDER, WEIGHTS_NAME, read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_clip import MammoClip
from mammoclip_core.networks.text_encoder import BERT, TextEncoder, Tokenizer
from mammoclip_core.published.bert_layout import check_vocabulary
from mammoclip_core.published.checkpoint import read_checkpoint
from mammoclip_core.published.models import timm_keys
from training.errors import SettingsError
from training.learning.drop_path import set_drop_path

IMAGENET: Final = "imagenet"
RANDOM: Final = "random"

VOCABULARY_NAME: Final = "vocab.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """Which model is trained.

    Attributes
    ----------
    architecture : str
        Image encoder by timm's name, for example ``tf_efficientnet_b5``.
    padding : str
        Padding of convolutions: ``published`` (as efficientnet_pytorch) or ``dynamic``.
    image_weights : str
        Initial weights of the image encoder: ``imagenet``, ``random``, or a file. ImageNet's are
        downloaded by timm. A file is a ``torch.save`` of an EfficientNet by the names of
        efficientnet_pytorch or timm, with its classifier or without.
    text_weights : str
        Folder or model hub name of a BERT whose weights the text encoder begins with. Empty:
        random weights.
    text_config : dict
        Keyword arguments of transformers' BertConfig, for random weights.
    tokenizer : str
        Folder with ``vocab.txt``.
    do_lower_case : bool
        Whether the tokenizer lower-cases.
    max_tokens : int
        Longest text in tokens; longer ones are cut off.
    pooling : str
        Which token stands for a text: ``eos`` (the last), ``bos`` (the first) or ``mean``.
    projection : str
        Projection onto the common space: ``linear`` or ``mlp``.
    projection_size : int
        Dimensions of the common space.
    temperature : float
        Initial temperature; cosines are divided by it.
    drop_path : [0, 1)
        Share of the last block's residuals that training leaves out, fewer in earlier blocks.
    dropout : [0, 1)
        Dropout on the pooled image features, in training.
    rows : int
        Height of the model's input in pixels.
    columns : int
        Width of the model's input in pixels.
    mean : float
        Subtracted from pixels in [0, 1].
    std : float
        Divides pixels after the mean is subtracted.
    bundle : str
        Bundle folder to begin from: its weights, tokenizer and sizes are used, and nothing else of
        the above. Empty: none.
    """

    architecture: str = "tf_efficientnet_b5"
    padding: str = "published"
    image_weights: str = IMAGENET
    text_weights: str = ""
    text_config: dict[str, Any] = field(default_factory=dict)
    tokenizer: str = ""
    do_lower_case: bool = True
    max_tokens: int = 256
    pooling: str = "eos"
    projection: str = "linear"
    projection_size: int = 512
    temperature: float = 0.07
    drop_path: float = 0.2
    dropout: float = 0.4
    rows: int = 1520
    columns: int = 912
    mean: float = PUBLISHED_MEAN
    std: float = PUBLISHED_STD
    bundle: str = ""


def settled(settings: NetworkSettings) -> NetworkSettings:
    """Return the settings with what a bundle to begin from decides."""
    if not settings.bundle:
        return settings
    manifest = read_manifest(Path(settings.bundle))
    pixels = manifest.preprocessing
    return replace(
        settings,
        architecture=manifest.encoders[0].architecture,
        padding=manifest.encoders[0].padding,
        projection=manifest.projection,
        projection_size=manifest.projection_size,
        rows=pixels.rows,
        columns=pixels.columns,
        mean=pixels.mean,
        std=pixels.std,
    )


def tokenizer_folder(settings: NetworkSettings) -> Path:
    """Return the folder of the tokenizer: a bundle's own, or that of the settings.

    Raises
    ------
    SettingsError
        The settings name none.
    """
    if settings.bundle:
        return Path(settings.bundle) / TOKENIZER_FOLDER
    if not settings.tokenizer:
        raise SettingsError(
            "there is no tokenizer: set model.network.tokenizer to a folder with vocab.txt"
        )
    return Path(settings.tokenizer)


def build_network(settings: NetworkSettings) -> tuple[MammoClip, Tokenizer, dict[str, Any]]:
    """Build a model with its tokenizer.

    Returns
    -------
    model, tokenizer
    text : configuration of the text encoder, as a bundle's manifest keeps it

    Raises
    ------
    SettingsError
        The settings name no text encoder, or a file that is none of the encoder's.
    """
    if settings.bundle:
        return _from_bundle(Path(settings.bundle), settings)
    words_folder = tokenizer_folder(settings)
    config = dict(settings.text_config)
    if settings.text_weights:
        from transformers import BertConfig

        config = BertConfig.from_pretrained(settings.text_weights).to_dict()
    elif "vocab_size" not in config:
        words = (words_folder / VOCABULARY_NAME).read_text(encoding="utf-8").rstrip("\n")
        config["vocab_size"] = words.count("\n") + 1
    check_vocabulary(words_folder, config["vocab_size"], settings.text_weights or "text_config")
    model = _model(settings, settings.architecture, config, settings.pooling)
    _load_image_weights(model.image_encoder, settings)
    if settings.text_weights and model.text_encoder is not None:
        from transformers import BertModel

        source = BertModel.from_pretrained(settings.text_weights)
        model.text_encoder.bert.load_state_dict(source.state_dict())
    text = {
        "config": config,
        "pooling": settings.pooling,
        "do_lower_case": settings.do_lower_case,
        "max_tokens": settings.max_tokens,
    }
    return model, _tokenizer(words_folder, text), text


def _model(
    settings: NetworkSettings, architecture: str, config: Mapping[str, Any], pooling: str
) -> MammoClip:
    model = MammoClip(
        ImageEncoder(architecture, settings.padding),
        TextEncoder(config, pooling),
        settings.projection_size,
        math.log(1.0 / settings.temperature),
        settings.projection,
    )
    set_drop_path(model.image_encoder, settings.drop_path)
    if model.text_encoder is not None:  # saved and never used: it would get no gradient
        model.text_encoder.bert.pooler.requires_grad_(requires_grad=False)
    return model


def _load_image_weights(encoder: ImageEncoder, settings: NetworkSettings) -> None:
    if settings.image_weights == RANDOM:
        return
    if settings.image_weights == IMAGENET:
        source = timm.create_model(settings.architecture, pretrained=True, num_classes=0)
        encoder.backbone.load_state_dict(source.state_dict())
        return
    path = Path(settings.image_weights)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    except SafetensorError as error:
        raise SettingsError(f"{path} is damaged or no file of weights: {error}") from error
    state = {
        name: value
        for name, value in content.items()
        if isinstance(value, Tensor) and not name.startswith(("_fc.", "classifier."))
    }
    if "_conv_stem.weight" in state:
        names = timm_keys(state, settings.architecture)
        state = {names[name]: value for name, value in state.items()}
    try:
        encoder.backbone.load_state_dict(state)
    except RuntimeError as error:
        raise SettingsError(
            f"{path.name} does not hold a {settings.architecture}: {error}"
        ) from error


def _from_bundle(
    folder: Path, settings: NetworkSettings
) -> tuple[MammoClip, Tokenizer, dict[str, Any]]:
    manifest = read_manifest(folder)
    text = dict(manifest.text_encoder)
    if not text:
        raise SettingsError(f"{folder}: the bundle has no text encoder, which pretraining needs")
    if text.get("kind", BERT) != BERT:
        raise SettingsError(
            f"{folder}: its text encoder is a ModernBERT, as Mammo-FM's is; pretraining continues "
            "from bundles with a BERT alone. Probe, finetune, detect and factor take this one"
        )
    model = MammoClip(
        ImageEncoder(manifest.encoders[0].architecture, manifest.encoders[0].padding),
        TextEncoder(text["config"], text["pooling"]),
        manifest.projection_size,
        manifest.logit_scale,
        manifest.projection,
    )
    own = model.state_dict()
    with declared(folder):
        check_weights(folder / WEIGHTS_NAME, manifest)
        content = load_file(folder / WEIGHTS_NAME)
    state = {name: value for name, value in content.items() if name in own}
    model.load_state_dict(
        {name: value.to(own[name].dtype) for name, value in state.items()}, strict=True
    )
    set_drop_path(model.image_encoder, settings.drop_path)
    if model.text_encoder is not None:
        model.text_encoder.bert.pooler.requires_grad_(requires_grad=False)
    return model, _tokenizer(tokenizer_folder(settings), text), text


def _tokenizer(folder: Path, text: Mapping[str, Any]) -> Tokenizer:
    return Tokenizer(
        folder, do_lower_case=text["do_lower_case"], max_tokens=text.get("max_tokens", 256)
    )


def save_gradient_memory(model: MammoClip) -> None:
    """Compute activations again on the way back instead of keeping them.

    The running statistics of BatchNorm then move twice a step, by the same values.
    """
    model.image_encoder.backbone.set_grad_checkpointing(enable=True)
    if model.text_encoder is not None:
        model.text_encoder.bert.gradient_checkpointing_enable(
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
