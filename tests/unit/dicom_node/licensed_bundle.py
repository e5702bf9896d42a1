"""A bundle whose terms have to be accepted: a manifest and no weights."""

from pathlib import Path
from typing import Any

from mammoclip_core.manifest import Manifest, Preprocessing, write_manifest

WORDS = "CC-BY-NC-SA-4.0 research use"


def write_bundle(folder: Path, **changes: Any) -> Path:
    """Write a bundle that is a manifest and no weights."""
    values: dict[str, Any] = {
        "name": "mammo-clip",
        "version": "1.0",
        "weights_sha256": "0" * 64,
        "licence": "CC-BY-NC-SA-4.0",
        "permitted_use": "research use",
        "trained_on": "VinDr-Mammo",
        "intended_use": "research",
        "encoders": (),
        "preprocessing": Preprocessing(
            mode="published", rows=1520, columns=912, mean=0.3, std=0.25
        ),
        "findings": (),
    }
    folder.mkdir(exist_ok=True)
    write_manifest(Manifest(**{**values, **changes}), folder)
    return folder
