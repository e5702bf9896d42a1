"""The image encoder of a bundle as a module, to compute with or to train on."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from mammoclip_core.bundles.tensors import check_weights
from mammoclip_core.errors import BundleError
from mammoclip_core.manifest import WEIGHTS_NAME, Manifest, read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder

_PREFIX = "image_encoder."


def read_image_encoder(bundle: Path, padding: str | None = None) -> tuple[ImageEncoder, Manifest]:
    """Load the prompts' image encoder of a bundle in float32, in evaluation mode.

    Parameters
    ----------
    padding : ``published`` or ``dynamic``; None for the bundle's own

    Raises
    ------
    BundleError
        A file is missing or altered, or the bundle is another model than it says.
    """
    manifest = read_manifest(bundle)
    if not manifest.encoders:
        raise BundleError(f"bundle {manifest.name} has no image encoder in its manifest")
    entry = manifest.encoders[0]
    encoder = ImageEncoder(entry.architecture, padding or entry.padding)
    weights = bundle / WEIGHTS_NAME
    try:
        check_weights(weights, manifest)
        with safe_open(weights, framework="pt") as tensors:
            state = {name: tensors.get_tensor(_PREFIX + name) for name in encoder.state_dict()}
        encoder.load_state_dict(
            {
                name: value.float() if value.is_floating_point() else value
                for name, value in state.items()
            }
        )
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{weights} is not the manifest's model: {error}") from error
    return encoder.eval(), manifest
