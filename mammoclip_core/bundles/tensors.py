"""The tensors of a bundle in numpy: which ones its manifest promises, checked and read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mammoclip_core.background import start_thread
from mammoclip_core.bundles.tensor_names import tensor_differences
from mammoclip_core.errors import BundleError
from mammoclip_core.file_digest import file_sha256, regular_file
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import (
    PROMPTS_NAME,
    WEIGHTS_NAME,
    Manifest,
)
from mammoclip_core.networks.detector_layout import detector_shapes
from mammoclip_core.networks.efficientnet import EfficientNet, Shapes, prefixed
from mammoclip_core.networks.mammo_factor import factor_name, factor_shapes
from mammoclip_core.networks.numpy_projection import projection_shapes

PROMPTS_SHA256: Final = "prompts_sha256"
"""Entry of the weights' header: the prompts' digest is thus covered by the weights' own."""

TEXT_PREFIXES: Final = ("text_encoder.", "text_projection.")
BACKBONE: Final = "image_encoder.backbone."
PROJECTION: Final = "image_projection."
LOGIT_SCALE: Final = "logit_scale"

Tensors = Mapping[str, NDArray[Any]]


def head_prefix(name: str) -> str:
    """Return the begin of the names of a head's tensors in a bundle."""
    return f"heads.{name}."


def detector_prefix(name: str) -> str:
    """Return the begin of the names of a detector's tensors in a bundle."""
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
    shapes |= prefixed(BACKBONE, first.shapes)
    shapes |= prefixed(
        PROJECTION, projection_shapes(manifest.projection, first.size, manifest.projection_size)
    )
    for head in manifest.heads:
        network, prefix = encoder_of(manifest, head.encoder), head_prefix(head.name)
        shapes |= prefixed(f"{prefix}encoder.backbone.", network.shapes)
        shapes[f"{prefix}linear.weight"] = (head.outputs, network.size)
        shapes[f"{prefix}linear.bias"] = (head.outputs,)
    for detector in manifest.detectors:
        shapes |= prefixed(
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


@contextmanager
def weights_checked(bundle: Path, manifest: Manifest) -> Iterator[None]:
    """Compute the weights' digest beside what is done with them; raises BundleError at its end.

    Whatever else is wrong with them, the digest speaks first. It is read from a file that is opened
    by itself: of one that was replaced between, it would say nothing about what was loaded.
    """
    weights = bundle / WEIGHTS_NAME
    with declared(bundle):
        before = _state_of(weights)
        checking = start_thread(partial(check_weights, weights, manifest), name="digest")
        try:
            yield
        finally:
            checking.result()
        if _state_of(weights) != before:
            raise BundleError(f"{weights} was replaced while it was read: it is read again")


def _state_of(file: Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_image_side(bundle: Path, manifest: Manifest) -> Tensors:
    """Read all tensors but the text side's, floating-point ones in float32.

    Raises
    ------
    BundleError
        A file is missing, or its tensors are not those of the manifest's model.
    """
    weights = bundle / WEIGHTS_NAME
    expected = image_side_shapes(manifest)
    with declared(bundle), safe_open(regular_file(weights), framework="np") as tensors:
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
        with safe_open(regular_file(bundle / WEIGHTS_NAME), framework="np") as tensors:
            header: dict[str, Any] = tensors.metadata() or {}
        if header.get(PROMPTS_SHA256) != file_sha256(path):
            raise BundleError(f"{path} is altered or incomplete: its digest is not the weights'")
        with safe_open(regular_file(path), framework="np") as tensors:
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


def _full_precision(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values
