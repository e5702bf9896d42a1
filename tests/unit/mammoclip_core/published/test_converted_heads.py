"""Published classifiers in a bundle: which findings they answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_factory import (
    State,
    batch,
    bert_state,
    classifier_state,
    encoder_state,
    projections,
    write_classifier,
)
from safetensors.torch import load_file

from mammoclip_core.bundles.tensors import head_prefix
from mammoclip_core.engines.choice import load_model
from mammoclip_core.errors import CheckpointError
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import Manifest
from mammoclip_core.networks.heads import FineTunedClassifier, finding_of_head
from mammoclip_core.networks.image_encoder import ImageEncoder

Convert = Callable[..., Manifest]


@pytest.mark.parametrize("numpy_1", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_head_is_preferred_to_prompts(
    converted: Convert, published: State, tmp_path: Path, bare: bool, numpy_1: bool
) -> None:
    state = classifier_state(bare=bare)
    path = write_classifier(tmp_path / "cancer.pth", state, numpy_1=numpy_1)

    manifest = converted(published, heads={"cancer": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    prefix = head_prefix("cancer")
    head = FineTunedClassifier(ImageEncoder("tf_efficientnet_b0"), 1).eval()
    head.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in load_file(tmp_path / "bundle" / "model.safetensors").items()
            if name.startswith(prefix)
        }
    )
    with torch.inference_mode():
        expected = torch.sigmoid(head(torch.from_numpy(batch()))).item()
    assert prediction.scores["malignancy"] == pytest.approx(expected, abs=1e-6)
    entry = manifest.finding("malignancy")
    assert (entry.source, entry.head) == (FindingSource.HEAD, "cancer")
    assert (entry.aggregation, manifest.finding("mass").aggregation) == ("mean", "max")
    assert manifest.encoder_of(entry) == "cancer"
    assert manifest.encoder_of(manifest.finding("mass")) == "image"


def test_head_of_four_classes_answers_density(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "density.pth", classifier_state(4))

    converted(published, heads={"density": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    assert len(prediction.density_scores) == 4
    assert sum(prediction.density_scores) == pytest.approx(1)


def test_bundle_without_texts_answers_by_its_heads(converted: Convert, tmp_path: Path) -> None:
    path = write_classifier(tmp_path / "mass.pth", classifier_state())
    state = {**encoder_state(), **projections(), "logit_scale": torch.tensor(1.0)}
    state = {name: value for name, value in state.items() if not name.startswith("text_")}

    converted(state, heads={"mass": path})

    (prediction,) = load_model(tmp_path / "bundle").predict(batch())
    assert set(prediction.scores) == {"mass"}


@pytest.mark.parametrize(
    ("name", "outputs", "complaint"),
    [("mass", 4, "needs 1 outputs"), ("density", 1, "needs 4"), ("other", 1, "'other' is none")],
)
def test_head_of_another_kind_is_refused(name: str, outputs: int, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        finding_of_head(name, outputs)


def test_two_heads_of_one_finding_are_refused(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "head.pth", classifier_state())

    with pytest.raises(CheckpointError, match="same finding: malignancy"):
        converted(published, heads={"cancer": path, "malignancy": path})


def test_classifier_in_the_place_of_a_model_is_told_where_it_belongs(converted: Convert) -> None:
    with pytest.raises(CheckpointError, match="--head"):
        converted(classifier_state())


def test_model_in_the_place_of_a_classifier_is_refused(
    converted: Convert, published: State, tmp_path: Path
) -> None:
    path = write_classifier(tmp_path / "head.pth", bert_state(90))

    with pytest.raises(CheckpointError, match="no fine-tuned classifier"):
        converted(published, heads={"mass": path})
