"""Finds the configured bundle, checks its terms of use, and tells the warning of any bundle."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from dicom_node.errors import SettingsError
from dicom_node.settings.model import ModelSettings
from dicom_node.settings.rules import DEFAULT_BUNDLE
from dicom_node.settings.settings import Settings
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.findings import BundleIdentity
from mammoclip_core.manifest import Manifest, read_manifest, require_acceptance

log = structlog.get_logger("dicom_node.bundle")

UNTOLD_WARNING: Final = "The findings do not tell whether the weights carry a warning"


def bundle_folder(settings: ModelSettings) -> Path:
    """Return the bundle's folder: the configured one, else the demonstration bundle."""
    return demonstration_bundle() if settings.bundle is None else settings.bundle


def gives_probabilities(settings: ModelSettings) -> bool:
    """Tell whether all scores of the bundle in use are calibrated; False of one that is broken."""
    try:
        manifest = read_manifest(bundle_folder(settings))
    except BundleError:
        return False  # which check says, and every worker
    findings = [one for one in manifest.findings if not one.is_class_set]
    return bool(findings) and all(one.is_calibrated for one in findings)


def pass_licence_gate(settings: ModelSettings, section: str = "model") -> Manifest:
    """Return the manifest of the configured bundle if its terms are accepted, and log that.

    Raises
    ------
    SettingsError
        As `accepted_manifest` does.
    """
    manifest = accepted_manifest(settings, section)
    log.warning(
        "bundle_terms_accepted",
        bundle=manifest.name,
        version=manifest.version,
        accepted_terms=manifest.acceptance,
        warning=manifest.warning or None,
    )
    return manifest


def accepted_manifest(settings: ModelSettings, section: str = "model") -> Manifest:
    """Return the manifest of the configured bundle if its terms are accepted.

    Parameters
    ----------
    section : of the settings file, where the bundle and its terms stand

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
        words = str(error).replace("under [model]", f"under [{section}]")
        raise SettingsError(words) from error
    return manifest


def model_settings_of(settings: Settings, name: str) -> ModelSettings:
    """Return how a bundle is run: as [model] says, with its own folder and terms.

    Parameters
    ----------
    name : under [bundles], or that of the bundle of [model]

    Raises
    ------
    SettingsError
        The settings have no bundle of this name.
    """
    if name == DEFAULT_BUNDLE:
        return settings.model
    own = settings.bundles.get(name)
    if own is None:
        raise SettingsError(
            f"there is no bundle {name} in the settings: enter it under [bundles], or choose one "
            f"of {', '.join(bundle_names(settings))}"
        )
    return settings.model.model_copy(update={"bundle": own.folder, "accept": own.accept})


def bundle_names(settings: Settings) -> list[str]:
    """List the names of the bundles, that of [model] first."""
    return [DEFAULT_BUNDLE, *sorted(settings.bundles)]


def findings_of(settings: Settings) -> set[str] | None:
    """Return the names of what the bundles answer; None if one of them cannot be read.

    What is wrong with a bundle is told where it is used, and keeps no other from being used.
    """
    found: set[str] = set()
    for name in bundle_names(settings):
        try:
            manifest = read_manifest(bundle_folder(model_settings_of(settings, name)))
        except BundleError:
            return None
        found |= {finding.name for finding in manifest.findings}
    return found


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
