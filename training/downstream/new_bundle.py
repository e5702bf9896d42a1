"""A bundle made from another one: with a further head, or with calibrations and thresholds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mammoclip_core.bundles.folder_copy import copy_folder
from mammoclip_core.bundles.tensors import check_weights, declared, head_prefix
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.manifest import (
    WEIGHTS_NAME,
    FindingEntry,
    Manifest,
    read_manifest,
    require_empty,
    write_manifest,
)
from mammoclip_core.published.convert import read_classifier
from training.bundles.bundle_copy import copy_bundle, making_bundle
from training.downstream.held_out_record import record_in, sources_of


def with_head(
    bundle: Path, name: str, file: Path, out: Path, record: Mapping[str, str] | None = None
) -> Manifest:
    """Write a bundle that answers a finding by a classifier, in place of its prompts or a head.

    Parameters
    ----------
    name : one of `mammoclip_core.networks.heads.HEAD_FINDINGS`
    file : in the published classifiers' layout
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    record : whom the head's training held out, of `held_out_record.record_of`

    Raises
    ------
    BundleError
        The bundle is incomplete or altered, or the output folder is in use.
    CheckpointError
        The file is no such classifier.
    """
    require_empty(out)
    manifest = read_manifest(bundle)
    classifier = read_classifier(name, file)
    finding = classifier.finding
    former = next((item for item in manifest.findings if item.name == finding.name), None)
    if former is None:
        findings = (*manifest.findings, replace(finding, prompts=()))
    else:
        kept = replace(
            finding,
            code=former.code,
            prompts=former.prompts,
            ensembles=former.ensembles,
            own_prompts=former.own_prompts,
        )
        findings = tuple(kept if item is former else item for item in manifest.findings)
    replaced = {name, former.head if former and former.head else name}
    of_head = sources_of(name, record_in(manifest.sources, name))
    changed = replace(
        manifest,
        encoders=(
            *(item for item in manifest.encoders if item.name not in replaced),
            classifier.encoder,
        ),
        heads=(*(item for item in manifest.heads if item.name not in replaced), classifier.head),
        findings=findings,
        sources={
            **{key: value for key, value in manifest.sources.items() if key not in of_head},
            f"head {name}": file_sha256(file),
            **sources_of(name, record or {}),
        },
        version=f"{manifest.version}+{name}-{file_sha256(file)[:8]}",
    )
    gone = tuple(head_prefix(item) for item in replaced)
    return copy_bundle(bundle, out, changed, classifier.state, without=gone)


def with_findings(bundle: Path, entries: Mapping[str, FindingEntry], out: Path) -> Manifest:
    """Write a bundle of the same weights whose manifest says other things of some findings.

    Raises
    ------
    BundleError
        As `with_head`.
    """
    require_empty(out)
    manifest = read_manifest(bundle)
    changed = replace(
        manifest,
        findings=tuple(entries.get(item.name, item) for item in manifest.findings),
        version=f"{manifest.version}+calibrated",
    )
    with declared(bundle):
        check_weights(bundle / WEIGHTS_NAME, manifest)
    with making_bundle(out) as folder:
        copy_folder(bundle, folder)
        write_manifest(changed, folder)
    return changed
