"""What a report of figures says of the bundle that they were made with."""

from mammoclip_core.manifest import Manifest


def bundle_facts(manifest: Manifest) -> dict[str, str]:
    """Return a bundle's name, version, training data and digest, as rows of a report."""
    return {
        "bundle": f"{manifest.name} {manifest.version}, {manifest.trained_on}",
        "weights": manifest.weights_sha256,
    }
