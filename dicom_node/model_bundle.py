"""Which bundle the node works with, and the gate that its terms of use must pass."""

import subprocess
import sys
from pathlib import Path

import structlog

from dicom_node.errors import SettingsError
from dicom_node.settings import ModelSettings
from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.manifest import Manifest, read_manifest, require_acceptance

log = structlog.get_logger("dicom_node.bundle")


def bundle_folder(settings: ModelSettings) -> Path:
    """Return the bundle's folder; the demonstration bundle is made on first use.

    Raises
    ------
    SettingsError
        The demonstration bundle cannot be made because the model's libraries are not installed.
    """
    if settings.bundle is not None:
        return settings.bundle
    # A child process, because making it needs torch, which the node never loads.
    command = [sys.executable, "-m", "mammoclip_core.cli", "demonstration-bundle"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingsError(
            "model.bundle is not set and the demonstration bundle cannot be made here: "
            f"{_last_line(done.stderr)}"
        )
    return Path(_last_line(done.stdout))


def pass_licence_gate(settings: ModelSettings) -> Manifest:
    """Return the manifest of the configured bundle once its terms are accepted, and log that.

    Raises
    ------
    SettingsError
        There is no such bundle, or its terms are not accepted in the settings; the message
        gives the words to set.
    """
    try:
        manifest = read_manifest(bundle_folder(settings))
        require_acceptance(manifest, settings.accept)
    except (BundleError, LicenceError) as error:
        raise SettingsError(str(error)) from error
    log.warning(
        "bundle_terms_accepted",
        bundle=manifest.name,
        version=manifest.version,
        accepted_terms=manifest.acceptance,
        warning=manifest.warning or None,
    )
    return manifest


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"
