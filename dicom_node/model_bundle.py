"""Finds the configured bundle, checks its terms of use, and tells the warning of any bundle."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from dicom_node.errors import SettingsError
from dicom_node.settings.model import ModelSettings
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.findings import BundleIdentity
from mammoclip_core.manifest import Manifest, read_manifest, require_acceptance

log = structlog.get_logger("dicom_node.bundle")

UNTOLD_WARNING: Final = "The findings do not tell whether the weights carry a warning"


def bundle_folder(settings: ModelSettings) -> Path:
    """Return the bundle's folder: the configured one, else the demonstration bundle."""
    return demonstration_bundle() if settings.bundle is None else settings.bundle


def pass_licence_gate(settings: ModelSettings) -> Manifest:
    """Return the manifest of the configured bundle once its terms are accepted, and log that.

    Raises
    ------
    SettingsError
        The bundle is missing or broken, or its terms are not accepted in the settings; the
        message gives the licence phrase to set.
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


def warning_of(bundle: BundleIdentity, known: Iterable[Manifest]) -> str:
    """Return the words that every object of a bundle's findings carries; empty if none.

    Parameters
    ----------
    bundle : as a findings document names it
    known : manifests of bundles that are here
        One of these weights has the last word. Where there is none and the document is silent,
        the objects warn of that: none is ever without the warning of its weights.
    """
    for manifest in known:
        if manifest.weights_sha256 == bundle.sha256 and manifest.warning:
            return manifest.warning
    return UNTOLD_WARNING if bundle.warning is None else bundle.warning
