"""A published model from the model hub into a bundle, once its terms are accepted."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mammoclip_core.errors import CheckpointError, FetchError
from mammoclip_core.manifest import Manifest, require_empty
from mammoclip_core.published.hub import fetch_file
from mammoclip_core.published.models import PUBLISHED, TERMS, PublishedModel


def published_model(name: str) -> PublishedModel:
    """Return what is known of a published model; raises FetchError if nothing is."""
    model = PUBLISHED.get(name)
    if model is None:
        raise FetchError(f"{name!r} is not one of the published models: {', '.join(PUBLISHED)}")
    return model


def notice(model: PublishedModel) -> str:
    """State what would be downloaded, and under which terms."""
    terms = TERMS[model.family]
    tokenizer = sorted({file.repository for file in model.tokenizer})
    return (
        f"This downloads {model.checkpoint.path} of {model.checkpoint.repository} (1 to 2 GB) and "
        f"the tokenizer of {', '.join(tokenizer)} (MIT).\n"
        f"The weights are under {terms.licence}, for {terms.permitted_use} only: you may not use "
        "them commercially, must name their authors, and may share what you make of them under the "
        "same licence only. They are not a medical device."
    )


def downloads_folder() -> Path:
    """Return where downloads are kept by default."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mammoclip" / "published"


def fetch(
    model: PublishedModel,
    out: Path,
    *,
    downloads: Path | None = None,
    heads: Mapping[str, Path] | None = None,
    detectors: Mapping[str, Path] | None = None,
) -> Manifest:
    """Download a published model and convert it into a bundle.

    Parameters
    ----------
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    downloads : folder
        Keeps the files: what is there already is not downloaded again.
    heads, detectors : further checkpoints by name, as `conversion.convert` takes them

    Raises
    ------
    FetchError
        A file cannot be downloaded unaltered.
    BundleError
        The output folder is in use.
    CheckpointError
        A file is not the model that it should be.
    """
    require_empty(out)
    folder = downloads or downloads_folder()
    tokenizer = [fetch_file(file, folder) for file in model.tokenizer]
    checkpoint = fetch_file(model.checkpoint, folder)
    from mammoclip_core.published.convert import convert

    origins = {
        f"hub {model.checkpoint.repository}": checkpoint.commit,
        f"hub {model.tokenizer[0].repository}": tokenizer[0].commit,
    }
    with tempfile.TemporaryDirectory() as scratch:
        for file in tokenizer:
            shutil.copyfile(file.path, Path(scratch) / file.path.name)
        manifest = convert(
            checkpoint.path,
            scratch,
            out,
            heads=heads,
            detectors=detectors,
            origins=origins,
        )
    found = manifest.encoders[0].architecture
    if found != model.architecture:
        shutil.rmtree(out)
        raise CheckpointError(
            f"{model.checkpoint.path} holds {found}, {model.architecture} was expected"
        )
    return manifest
