"""Which way of finding places a bundle keeps, from how often each points at lesions."""

import numpy as np
import pytest
import torch

from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.manifest import read_manifest
from mammoclip_core.networks.mammo_factor import factor_name, factor_shapes
from training.examples.demonstration.answers import CLASS_ACTIVATION, FACTOR, Answers, Way
from training.examples.demonstration.localisation_choice import (
    keep_the_better,
    pointing_share,
)
from training.factor.export import bundle_with_factor, write_factor
from training.factor.localisation import LocalisedImage
from training.measures.localisation import Detections

FINDING = "suspicious_calcification"
NONE = Detections(boxes=np.zeros((0, 4)), scores=np.zeros(0), truth=np.zeros((0, 4)))
IMAGES = 100
CELLS = 23 * 14
"""Of the demonstration's feature map."""


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """A bundle that finds one finding in both ways."""
    folder = tmp_path_factory.mktemp("both")
    weights = {
        factor_name(FINDING, name): torch.ones(shape)
        for name, shape in factor_shapes(CELLS, 8).items()
    }
    write_factor(weights, folder / "factor.safetensors")
    bundle_with_factor(demonstration_bundle(), folder / "factor.safetensors", folder / "bundle")
    return folder / "bundle"


def image(*lesions):
    """One image with lesions of (size in mm, whether the method points at it)."""
    return LocalisedImage(
        patient_id="P",
        similarity=0.0,
        regions=NONE,
        above_quantile=NONE,
        point=(0.0, 0.0),
        points_inside=np.array([hit for _, hit in lesions], bool),
        sizes_mm=np.array([size for size, _ in lesions], float),
    )


def pointing_at(share):
    return [image((20.0, place < round(share * IMAGES))) for place in range(IMAGES)]


def answers(*, by_factor, by_class_activation):
    return Answers(
        patients=(),
        labels={},
        scores={},
        density=np.zeros(0, np.int64),
        said_density=np.zeros(0, np.int64),
        localised={
            Way(FACTOR, FINDING): pointing_at(by_factor),
            Way(CLASS_ACTIVATION, FINDING): pointing_at(by_class_activation),
        },
    )


def test_small_lesions_and_clean_images_count_for_nothing():
    images = [image((20.0, True)), image((20.0, False)), image((11.9, True)), image()]

    assert pointing_share(images) == 0.5


def test_pointing_at_a_small_lesion_beside_a_large_one_is_no_hit():
    assert pointing_share([image((8.0, True), (20.0, False))]) == 0.0


@pytest.mark.parametrize(
    ("ahead", "is_kept"),
    [((0.2, 0.1, 0.1), True), ((-0.1, 0.2, 0.0), True), ((0.1, -0.1, -0.02), False)],
)
def test_mammo_factor_stays_where_it_points_better_over_the_seeds(
    both_ways, tmp_path, ahead, is_kept
):
    keep_the_better(
        both_ways,
        [answers(by_factor=0.7 + more, by_class_activation=0.7) for more in ahead],
        tmp_path / "kept",
    )

    kept = [entry.finding for entry in read_manifest(tmp_path / "kept").factor]
    assert kept == ([FINDING] if is_kept else [])
