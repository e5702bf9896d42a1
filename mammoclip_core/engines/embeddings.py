"""Embeddings of files and of texts, as arrays and as one npz file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mammoclip_core.bundles.tensors import TEXT_PREFIXES, check_weights
from mammoclip_core.engines.choice import require_torch
from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.errors import BundleError, PixelError
from mammoclip_core.images.image_file import ReadImage, prepared_files, read_image
from mammoclip_core.manifest import TOKENIZER_FOLDER, WEIGHTS_NAME, read_manifest

if TYPE_CHECKING:
    from mammoclip_core.networks.text_model import TextModel

_BATCH_SIZE: Final = 4
_DECODE_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageEmbeddings:
    """What an image encoder makes of some files, and which of them could not be read.

    Attributes
    ----------
    features : (N, C) float32
        Pooled, before the projection.
    embeddings : (N, D) float32 of L2 norm 1
    failures : reasons by file
        These have no row.
    """

    files: tuple[str, ...]
    features: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    failures: Mapping[str, str]


def embed_files(
    model: Predictor, paths: Sequence[Path], read: ReadImage = read_image
) -> ImageEmbeddings:
    """Embed the images of files, DICOM (first frame) or pictures, in their order.

    Parameters
    ----------
    read : in this process, or in a child by `DecodingPool.read_image`
    """
    files: list[str] = []
    failures: dict[str, str] = {}
    rows: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    waiting: list[NDArray[np.float32]] = []
    outcomes = prepared_files(
        paths,
        model.manifest.preprocessing,
        threads=_DECODE_THREADS,
        ahead=_BATCH_SIZE,
        read=read,
    )
    for path, outcome in zip(paths, outcomes, strict=True):
        if isinstance(outcome, PixelError):
            failures[str(path)] = str(outcome)
            continue
        files.append(str(path))
        waiting.append(outcome.values)
        if len(waiting) == _BATCH_SIZE:
            rows.append(_embed(model, waiting))
            waiting = []
    if waiting:
        rows.append(_embed(model, waiting))
    empty = np.zeros((0, 0), np.float32)
    return ImageEmbeddings(
        files=tuple(files),
        features=np.concatenate([row[0] for row in rows]) if rows else empty,
        embeddings=np.concatenate([row[1] for row in rows]) if rows else empty,
        failures=failures,
    )


def load_text_model(bundle: Path) -> "TextModel":
    """Load the text side of a bundle alone.

    Raises
    ------
    BundleError
        The bundle has no text encoder, or a file is missing or altered.
    MissingLibraryError
        The text side's libraries are not installed.
    """
    require_torch("a text that is not among the bundle's prompts")
    from mammoclip_core.networks.text_encoder import build_text_encoder, build_tokenizer
    from mammoclip_core.networks.text_model import TextModel

    manifest = read_manifest(bundle)
    text: Mapping[str, Any] = manifest.text_encoder
    if not text:
        raise BundleError(f"bundle {manifest.name} has no text encoder: it embeds images only")
    weights = bundle / WEIGHTS_NAME
    tokenizer = build_tokenizer(text, bundle / TOKENIZER_FOLDER)
    encoder = build_text_encoder(text)
    model = TextModel(encoder, tokenizer, manifest.projection, manifest.projection_size)
    try:
        check_weights(weights, manifest)
        with safe_open(weights, framework="pt") as tensors:
            names = [name for name in set(tensors.keys()) if name.startswith(TEXT_PREFIXES)]
            model.load({name: tensors.get_tensor(name) for name in names})
    except OSError as error:
        raise BundleError(f"{bundle} is incomplete: {error.strerror}: {error.filename}") from error
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(f"{weights} is not the manifest's text encoder") from error
    return model


def embed_texts(model: "TextModel", texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts, (N, D) of L2 norm 1, each by itself: no text depends on the others."""
    rows = [model([text])[0].numpy() for text in texts]
    return np.stack(rows).astype(np.float32)


def _embed(
    model: Predictor, waiting: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return model.embed(np.repeat(np.stack(waiting)[:, np.newaxis], 3, axis=1))
