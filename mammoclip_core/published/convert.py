"""Published checkpoints into a bundle: what they hold is checked, renamed and written down."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from torch import Tensor

from mammoclip_core.bundles.tensors import TEXT_PREFIXES, head_prefix
from mammoclip_core.bundles.writing import write_bundle
from mammoclip_core.errors import CheckpointError
from mammoclip_core.file_digest import file_sha256
from mammoclip_core.lexicon import DEFAULT_FINDINGS
from mammoclip_core.manifest import (
    EncoderEntry,
    FindingEntry,
    HeadEntry,
    Manifest,
    require_empty,
)
from mammoclip_core.networks.heads import finding_of_head
from mammoclip_core.networks.image_encoder import PUBLISHED_PADDING
from mammoclip_core.networks.numpy_projection import MLP
from mammoclip_core.networks.text_encoder import build_text_encoder, build_tokenizer
from mammoclip_core.networks.text_model import TextModel
from mammoclip_core.networks.tokenizer_files import copy_tokenizer, find_tokenizer
from mammoclip_core.published.checkpoint import read_checkpoint, tensors_of
from mammoclip_core.published.checkpoint_layout import (
    IMAGE_PREFIX,
    Place,
    encoder_plan,
    recognise_architecture,
    rename,
)
from mammoclip_core.published.detector_conversion import with_detector
from mammoclip_core.published.factor_file import read_factor
from mammoclip_core.published.pretrained_file import (
    BARE_CLASSIFIER,
    CLASSIFIER,
    Pretrained,
    read_pretrained,
)

IMAGE: Final = "image"
"""Name of the encoder that the prompts are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """A fine-tuned classifier under the bundle's names."""

    state: dict[str, Tensor]
    encoder: EncoderEntry
    head: HeadEntry
    finding: FindingEntry


def convert(
    checkpoint: Path,
    tokenizer: str | None,
    out: Path,
    *,
    heads: Mapping[str, Path] | None = None,
    factor: Path | None = None,
    detectors: Mapping[str, Path] | None = None,
    origins: Mapping[str, str] | None = None,
) -> Manifest:
    """Convert a published pretraining checkpoint, and fine-tuned heads, into a bundle.

    Parameters
    ----------
    tokenizer : folder, a name on the model hub, or None
        Holds ``vocab.txt`` (BERT) or ``tokenizer.json`` (ModernBERT). None leaves the text side
        out: the bundle embeds images and answers by its heads and detectors.
    out : folder
        Must not exist, or be empty. It appears complete or not at all.
    heads : classifier checkpoints by name
        Names of `heads.HEAD_FINDINGS`.
    factor : safetensors file of Mammo-FActOR weights
        Trained on this checkpoint's encoder; tensors as `factor.factor_name` calls them.
    detectors : detector checkpoints by name
        Names of `heads.HEAD_FINDINGS`: a file does not tell what it finds.
    origins : further entries of `manifest.Manifest.sources`

    Raises
    ------
    CheckpointError
        A file is damaged, unsafe or of another model, or the tokenizer is another model's.
    BundleError
        The output folder is in use.
    """
    require_empty(out)
    tokenizer_folder = None if tokenizer is None else find_tokenizer(tokenizer)
    pretrained = read_pretrained(checkpoint, tokenizer_folder)
    files = dict(heads or {})
    classifiers = [read_classifier(name, path) for name, path in files.items()]
    _check_one_head_a_finding(classifiers)
    sources = {"checkpoint": file_sha256(checkpoint), **(origins or {})}
    sources |= {f"head {name}": file_sha256(path) for name, path in files.items()}
    manifest = _manifest(pretrained, classifiers, sources)
    state = dict(pretrained.state)
    if factor is not None:
        sources["factor"] = file_sha256(factor)
        attributes, tensors = read_factor(factor, manifest)
        manifest = replace(manifest, factor=attributes, sources=sources)
        state.update(tensors)
    for name, path in (detectors or {}).items():
        sources[f"detector {name}"] = file_sha256(path)
        manifest, tensors = with_detector(replace(manifest, sources=sources), name, path)
        state.update(tensors)
    for classifier in classifiers:
        state.update(classifier.state)
    out.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        kept = None
        if tokenizer_folder is not None and manifest.text_encoder:
            kept = making / "copied"
            copy_tokenizer(tokenizer_folder, kept)
        prompts = _prompt_embeddings(pretrained, manifest.findings, kept)
        folder = making / "bundle"
        folder.mkdir()
        written = write_bundle(state, manifest, prompts, kept, folder)
        folder.replace(out)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return written


def read_classifier(name: str, path: Path, finding: FindingEntry | None = None) -> Classifier:
    """Read a fine-tuned classifier, without running any of its file.

    Parameters
    ----------
    name : one of `heads.HEAD_FINDINGS`, or any name of a finding that is given
    finding : what a head answers that no bundle takes, or None

    Raises
    ------
    CheckpointError
        The file is damaged, unsafe or no such classifier, or of another number of outputs.
    """
    origin = path.name
    state = tensors_of(read_checkpoint(path), "model", origin)
    bare = any(key.startswith(BARE_CLASSIFIER) for key in state)
    prefix, linear = ("", BARE_CLASSIFIER) if bare else (IMAGE_PREFIX, CLASSIFIER)
    weight = state.get(f"{linear}weight")
    if weight is None or weight.ndim != 2:
        raise CheckpointError(f"{origin} holds no fine-tuned classifier: it has no {linear}weight")
    outputs = int(weight.shape[0])
    finding = finding or finding_of_head(name, outputs)
    own = head_prefix(name)
    encoder = {key: value for key, value in state.items() if not key.startswith(linear)}
    architecture = recognise_architecture(encoder, prefix, origin)
    plan = encoder_plan(architecture, prefix, f"{own}encoder.")
    features = plan[f"{prefix}_conv_head.weight"].shape[0]
    plan[f"{linear}weight"] = Place(name=f"{own}linear.weight", shape=(outputs, features))
    plan[f"{linear}bias"] = Place(name=f"{own}linear.bias", shape=(outputs,))
    return Classifier(
        state=rename(state, plan, origin),
        encoder=EncoderEntry(name=name, architecture=architecture, padding=PUBLISHED_PADDING),
        head=HeadEntry(name=name, encoder=name, outputs=outputs),
        finding=finding,
    )


def _check_one_head_a_finding(classifiers: Sequence[Classifier]) -> None:
    names = [item.finding.name for item in classifiers]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise CheckpointError(f"two heads answer the same finding: {', '.join(sorted(doubled))}")


def _manifest(
    pretrained: Pretrained,
    classifiers: Sequence[Classifier],
    sources: Mapping[str, str],
) -> Manifest:
    terms = pretrained.terms
    epoch = "" if pretrained.epoch is None else f"epoch-{pretrained.epoch}-"
    answered = {item.finding.name: item.finding for item in classifiers}
    with_prompts = DEFAULT_FINDINGS if pretrained.text_encoder else ()
    findings = [answered.pop(entry.name, entry) for entry in with_prompts]
    return Manifest(
        name=f"{terms.name}-{pretrained.architecture.rpartition('_')[2]}",
        version=f"{epoch}{sources['checkpoint'][:12]}",
        weights_sha256="",
        licence=terms.licence,
        permitted_use=terms.permitted_use,
        trained_on=terms.trained_on,
        intended_use=terms.intended_use,
        encoders=(
            EncoderEntry(
                name=IMAGE, architecture=pretrained.architecture, padding=PUBLISHED_PADDING
            ),
            *(item.encoder for item in classifiers),
        ),
        text_encoder=pretrained.text_encoder,
        projection_size=pretrained.projection_size,
        projection=pretrained.projection,
        logit_scale=float(pretrained.state["logit_scale"]),
        preprocessing=pretrained.preprocessing,
        findings=(*findings, *(replace(entry, prompts=()) for entry in answered.values())),
        heads=tuple(item.head for item in classifiers),
        sources=dict(sources),
        left_out=pretrained.left_out,
        beyond_the_paper=pretrained.beyond_the_paper,
        attribution="grad_cam" if pretrained.projection == MLP else "cam",
    )


def _prompt_embeddings(
    pretrained: Pretrained, findings: Sequence[FindingEntry], tokenizer_folder: Path | None
) -> dict[str, Tensor]:
    if tokenizer_folder is None:
        return {}
    text = pretrained.text_encoder
    model = TextModel(
        build_text_encoder(text),
        build_tokenizer(text, tokenizer_folder),
        pretrained.projection,
        pretrained.projection_size,
    )
    model.load(
        {name: value for name, value in pretrained.state.items() if name.startswith(TEXT_PREFIXES)}
    )
    return {entry.name: model(entry.prompts) for entry in findings if entry.prompts}
