"""The tensors of a bundle in numpy: which ones its manifest promises, checked and read."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mammoclip_core.background import begun
from mammoclip_core.bundles.tensor_names import tensor_differences
from mammoclip_core.errors import BundleError
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    TOKENIZER_FOLDER,
    WEIGHTS_NAME,
    Manifest,
    file_sha256,
    write_manifest,
)
from mammoclip_core.networks.anchors import ANCHORS_A_CELL
from mammoclip_core.networks.efficientnet import DYNAMIC_PADDING, EfficientNet, Shapes
from mammoclip_core.networks.mammo_factor import factor_name, factor_shapes
from mammoclip_core.networks.numpy_projection import projection_shapes

PROMPTS_SHA256: Final = "prompts_sha256"
"""Entry of the weights' header: the prompts' digest is thus covered by the weights' own."""

TEXT_PREFIXES: Final = ("text_encoder.", "text_projection.")
BACKBONE: Final = "image_encoder.backbone."
PROJECTION: Final = "image_projection."
LOGIT_SCALE: Final = "logit_scale"

_PYRAMID_CHANNELS: Final = 256
_HIDDEN_LAYERS: Final = 4
_COORDINATES: Final = 4

Tensors = dict[str, NDArray[Any]]


def head_prefix(name: str) -> str:
    """Return the begin of the names of a head's tensors."""
    return f"heads.{name}."


def detector_prefix(name: str) -> str:
    """Return the begin of the names of a detector's tensors."""
    return f"detectors.{name}."


def encoder_of(manifest: Manifest, name: str | None = None) -> EfficientNet:
    """Return the layers of an image encoder, of the first one without a name."""
    for entry in manifest.encoders:
        if name is None or entry.name == name:
            return EfficientNet(entry.architecture, entry.padding)
    raise BundleError(f"bundle {manifest.name} lists no image encoder{f' {name}' if name else ''}")


def image_side_shapes(manifest: Manifest) -> Shapes:
    """Return the shapes of all tensors but the text side's.

    Raises
    ------
    BundleError
        The manifest contradicts itself.
    """
    _check_sources(manifest)
    first = encoder_of(manifest)
    shapes: Shapes = {LOGIT_SCALE: ()}
    shapes |= _prefixed(BACKBONE, first.shapes)
    shapes |= _prefixed(
        PROJECTION, projection_shapes(manifest.projection, first.size, manifest.projection_size)
    )
    for head in manifest.heads:
        network, prefix = encoder_of(manifest, head.encoder), head_prefix(head.name)
        shapes |= _prefixed(f"{prefix}encoder.backbone.", network.shapes)
        shapes[f"{prefix}linear.weight"] = (head.outputs, network.size)
        shapes[f"{prefix}linear.bias"] = (head.outputs,)
    for detector in manifest.detectors:
        shapes |= _prefixed(
            detector_prefix(detector.name), detector_shapes(detector.architecture, 1)
        )
    size = first.map_size(manifest.preprocessing.rows, manifest.preprocessing.columns)
    for entry in manifest.factor:
        if (entry.rows, entry.columns) != size:
            raise BundleError(
                f"Mammo-FActOR of {entry.finding} is for {entry.rows} x {entry.columns}"
                f" cells, the input makes {size[0]} x {size[1]}"
            )
        for name, shape in factor_shapes(entry.rows * entry.columns, entry.size).items():
            shapes[factor_name(entry.finding, name)] = shape
    return shapes


def detector_shapes(architecture: str, classes: int) -> Shapes:
    """Return the shapes of a detector's tensors."""
    network = EfficientNet(architecture, DYNAMIC_PADDING)
    third, fourth = (block.project.outputs for block in network.tapped)
    width = _PYRAMID_CHANNELS
    layers = {
        f"pyramid.lateral.{number}": (width, channels, 1)
        for number, channels in enumerate((third, fourth, network.size))
    }
    layers |= {f"pyramid.smooth.{number}": (width, width, 3) for number in range(3)}
    layers |= {"pyramid.sixth": (width, network.size, 3), "pyramid.seventh": (width, width, 3)}
    for head, values in (("boxes", _COORDINATES), ("classes", classes)):
        layers |= {f"{head}.hidden.{number}": (width, width, 3) for number in range(_HIDDEN_LAYERS)}
        layers[f"{head}.output"] = (ANCHORS_A_CELL * values, width, 3)
    shapes = _prefixed("encoder.backbone.", network.shapes)
    for name, (outputs, inputs, kernel) in layers.items():
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)
    return shapes


@contextmanager
def weights_checked(bundle: Path, manifest: Manifest) -> Iterator[None]:
    """Compute the weights' digest beside what is done with them; raises BundleError at its end.

    Whatever else is wrong with them, the digest speaks first.
    """
    with declared(bundle):
        checking = begun(partial(check_weights, bundle / WEIGHTS_NAME, manifest), name="digest")
        try:
            yield
        finally:
            checking.result()


def read_image_side(bundle: Path, manifest: Manifest) -> Tensors:
    """Read all tensors but the text side's, floating-point ones in float32.

    Raises
    ------
    BundleError
        A file is missing, or its tensors are not those of the manifest's model.
    """
    weights = bundle / WEIGHTS_NAME
    expected = image_side_shapes(manifest)
    with declared(bundle), safe_open(weights, framework="np") as tensors:
        names = set(tensors.keys())
        if manifest.text_encoder:
            names = {name for name in names if not name.startswith(TEXT_PREFIXES)}
        shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in names}
        check_tensors(expected, shapes, weights)
        return {name: _full_precision(tensors.get_tensor(name)) for name in expected}


def read_prompts(bundle: Path, manifest: Manifest) -> Tensors:
    """Read the embeddings of the findings' prompts, (P, D) float32 each.

    Raises
    ------
    BundleError
        A file is missing or altered, or the prompts are not those of the manifest's findings.
    """
    path = bundle / PROMPTS_NAME
    with declared(bundle):
        with safe_open(bundle / WEIGHTS_NAME, framework="np") as tensors:
            header: dict[str, Any] = tensors.metadata() or {}
        if header.get(PROMPTS_SHA256) != file_sha256(path):
            raise BundleError(f"{path} is altered or incomplete: its digest is not the weights'")
        with safe_open(path, framework="np") as tensors:
            prompts = {name: _full_precision(tensors.get_tensor(name)) for name in tensors.keys()}  # noqa: SIM118  it is no dictionary
    check_tensors(
        {
            entry.name: (len(entry.prompts), manifest.projection_size)
            for entry in manifest.findings
            if entry.prompts
        },
        {name: value.shape for name, value in prompts.items()},
        path,
    )
    return prompts


def write_arrays(
    tensors: Mapping[str, NDArray[Any]],
    manifest: Manifest,
    prompts: Mapping[str, NDArray[Any]],
    tokenizer_folder: Path | None,
    folder: Path,
) -> Manifest:
    """Write a bundle into an existing empty folder, the manifest last.

    Parameters
    ----------
    manifest : Manifest
        Its `weights_sha256` is replaced.
    prompts : (P, D) embeddings of L2 norm 1 by finding

    Returns
    -------
    Manifest
        As written, with the digest of the weights.
    """
    if tokenizer_folder is not None:
        shutil.copytree(tokenizer_folder, folder / TOKENIZER_FOLDER)
    save_file(dict(prompts), folder / PROMPTS_NAME)
    digest = file_sha256(folder / PROMPTS_NAME)
    save_file(dict(tensors), folder / WEIGHTS_NAME, metadata={PROMPTS_SHA256: digest})
    written = replace(manifest, weights_sha256=file_sha256(folder / WEIGHTS_NAME))
    write_manifest(written, folder)
    return written


def check_weights(weights: Path, manifest: Manifest) -> None:
    """Refuse weights whose digest is not the manifest's."""
    if file_sha256(weights) != manifest.weights_sha256:
        raise BundleError(f"{weights} is altered or incomplete: its digest is not bundle.json's")


def check_tensors(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], weights: Path
) -> None:
    """Refuse tensors that are not the expected ones; raises BundleError."""
    differences = tensor_differences(expected, found)
    if differences:
        raise BundleError(f"{weights} is not the manifest's model: tensors {differences}")


@contextmanager
def declared(bundle: Path) -> Iterator[None]:
    """Translate errors of a bundle's files; raises BundleError."""
    try:
        yield
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except (SafetensorError, TypeError) as error:
        raise BundleError(f"{bundle} has damaged tensors: {error}") from error


def _check_sources(manifest: Manifest) -> None:
    """Refuse a finding that nothing in the bundle answers."""
    encoders = {entry.name for entry in manifest.encoders}
    answering = {
        FindingSource.HEAD: {head.name for head in manifest.heads if head.encoder in encoders},
        FindingSource.DETECTOR: {entry.name for entry in manifest.detectors},
    }
    for entry in manifest.findings:
        if entry.source is not FindingSource.PROMPT and entry.head not in answering[entry.source]:
            raise BundleError(
                f"finding {entry.name}: the bundle has no {entry.source} {entry.head}"
            )


def _prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _full_precision(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values
