"""The functions of the core for scripts: one import, paths as plain text."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mammoclip_core.analysis.engine import Engine, StudyRequest
from mammoclip_core.analysis.study_files import request_from as _request_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mammoclip_core.engines.embeddings import ImageEmbeddings

__all__ = ["Engine", "StudyRequest", "embed_images", "embed_texts", "load_engine", "request_from"]


def load_engine(bundle: str | Path, *, device: str = "cpu", engine: str = "auto") -> Engine:
    """Load a bundle for analysing studies; raises BundleError.

    Parameters
    ----------
    device : ``cpu``, ``cuda``, ``cuda:N``, or ``auto``: a GPU where there is one
    engine : ``torch``, ``openvino``, or ``auto``
        ``auto``: torch on a GPU; on a CPU OpenVINO where it is installed, else torch.
    """
    from mammoclip_core.engines.choice import load_engine as load
    from mammoclip_core.engines.computing_options import EngineName

    return load(Path(bundle), device=device, engine=EngineName(engine))


def request_from(paths: Iterable[str | Path], study: str | None = None) -> StudyRequest:
    """Gather the images of one study from files and folders; raises StudyChoiceError."""
    return _request_from(map(Path, paths), study)


def embed_images(
    bundle: str | Path,
    paths: Iterable[str | Path],
    *,
    device: str = "cpu",
    engine: str = "auto",
) -> "ImageEmbeddings":
    """Compute the pooled features and unit embeddings of images; raises BundleError.

    Parameters
    ----------
    device : as `load_engine` takes it
    engine : ``torch``, ``openvino``, or ``auto``: torch where it is installed, as the reference
    """
    from mammoclip_core.engines.choice import load_model
    from mammoclip_core.engines.computing_options import EngineName
    from mammoclip_core.engines.embeddings import embed_files

    model = load_model(Path(bundle), device=device, engine=EngineName(engine))
    return embed_files(model, list(map(Path, paths)))


def embed_texts(bundle: str | Path, texts: Iterable[str]) -> "NDArray[np.float32]":
    """Compute the unit embeddings, (N, D), of texts; raises BundleError.

    It needs torch, whatever computes the images: without it MissingLibraryError names the extra.
    """
    from mammoclip_core.engines.embeddings import embed_texts as embed
    from mammoclip_core.engines.embeddings import load_text_model

    return embed(load_text_model(Path(bundle)), list(texts))
