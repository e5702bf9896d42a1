"""The image encoder of a bundle, ready to be trained on: nothing folded, in float32."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from mammoclip_core.bundle import check_weights
from mammoclip_core.bundle_tensors import BACKBONE
from mammoclip_core.errors import BundleError
from mammoclip_core.image_encoder import PUBLISHED_PADDING, ImageEncoder
from mammoclip_core.manifest import WEIGHTS_NAME, read_manifest
from training.errors import SettingsError


def bundle_encoder(bundle: Path) -> ImageEncoder:
    """Load the encoder that a bundle's prompts are compared with.

    Raises
    ------
    BundleError
        The bundle is incomplete or altered.
    SettingsError
        Its encoder pads as no published classifier does: a head could not be written.
    """
    manifest = read_manifest(bundle)
    if not manifest.encoders:
        raise BundleError(f"bundle {manifest.name} names no image encoder")
    entry = manifest.encoders[0]
    if entry.padding != PUBLISHED_PADDING:
        raise SettingsError(f"{bundle}: heads need published padding, it pads {entry.padding}")
    weights = bundle / WEIGHTS_NAME
    encoder = ImageEncoder(entry.architecture, entry.padding)
    try:
        check_weights(weights, manifest)
        with safe_open(weights, framework="pt") as tensors:
            state = {
                name: tensors.get_tensor(BACKBONE + name) for name in encoder.backbone.state_dict()
            }
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except SafetensorError as error:
        raise BundleError(f"{bundle} holds damaged tensors: {error}") from error
    encoder.backbone.load_state_dict(state)  # copies into float32
    return encoder
