"""Finds the configured bundle and checks that its terms of use are accepted."""

from pathlib import Path

import structlog

from dicom_node.errors import SettingsError
from dicom_node.settings.model import ModelSettings
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.manifest import Manifest, read_manifest, require_acceptance

log = structlog.get_logger("dicom_node.bundle")


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
