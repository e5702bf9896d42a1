"""The bundle that comes along sees phantoms that nobody has ever shown it."""

from pathlib import Path

import pytest

from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.bundles.demonstration import demonstration_bundle
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.manifest import read_manifest
from training.bundles.bundle_encoder import read_image_encoder
from training.examples.demonstration.answers import CLASS_ACTIVATION, FACTOR, Way, answers_of
from training.examples.demonstration.block_maps import write_block_maps
from training.examples.demonstration.localisation_choice import pointing_share
from training.examples.demonstration.phantom_images import prepare_phantoms, read_truth
from training.measures.score_measures import accuracy, auroc
from training.phantoms.family import Family
from training.phantoms.patient import draw_patient
from training.phantoms.view import draw_view

SEED, STUDIES = 515, 12
SHIPPED = Path(__file__).parents[5] / "deploy" / "demo" / "studies" / "phantom"
SHIPPED_SEED, SHIPPED_NUMBER = 7, 34


@pytest.fixture(scope="module")
def manifest():
    return read_manifest(demonstration_bundle())


@pytest.fixture(scope="module")
def answers(tmp_path_factory, manifest):
    images = tmp_path_factory.mktemp("images")
    pixels = manifest.preprocessing
    prepare_phantoms(SEED, STUDIES, (pixels.rows, pixels.columns), images, family=Family.VARIED)
    encoder, _ = read_image_encoder(demonstration_bundle())
    maps = write_block_maps(encoder, images, images / "maps")
    return answers_of(demonstration_bundle(), maps, read_truth(images))


def test_bundle_says_what_the_paper_does_not_know_of_it(manifest):
    """It learned with a loss on labels beside the paper's, as its card says."""
    assert manifest.beyond_the_paper == {"label_weight": "1"}


@pytest.mark.parametrize(("finding", "least"), [("mass", 0.75), ("suspicious_calcification", 0.9)])
def test_scores_tell_phantoms_with_a_finding_from_others(answers, finding, least):
    labels, scores = answers.labels[finding], answers.scores[finding]

    assert 0 < labels.sum() < len(labels)
    assert auroc(labels, scores) >= least


def test_density_is_told(answers):
    assert accuracy(answers.density, answers.said_density) >= 0.6


@pytest.mark.parametrize("finding", ["mass", "suspicious_calcification"])
def test_what_the_node_shows_points_at_large_lesions(answers, manifest, finding):
    by_factor = finding in {entry.finding for entry in manifest.factor}

    way = Way(FACTOR if by_factor else CLASS_ACTIVATION, finding)

    assert pointing_share(answers.localised[way]) >= 0.6


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_shipped_study_is_marked_where_its_lesion_is_and_nowhere_else(engine):
    loaded = load_engine(demonstration_bundle(), engine=EngineName(engine))

    study = loaded.analyze(request_from([SHIPPED])).findings

    marked = {}
    for image in study.images:
        regions = [region for finding in image.findings for region in finding.regions]
        place = (image.laterality, image.view_position)
        box = true_box(*place)
        marked[place] = bool(regions)
        assert all(inside(region.peak, box) for region in regions)
    assert marked == {
        ("L", "CC"): True,
        ("L", "MLO"): True,
        ("R", "CC"): False,
        ("R", "MLO"): False,
    }


def true_box(laterality, view_position):
    patient = draw_patient(SHIPPED_SEED, SHIPPED_NUMBER)
    (breast,) = (one for one in patient.breasts if one.laterality == laterality)
    boxes = [shown.box for shown in draw_view(patient, breast, view_position).lesions]
    return boxes[0] if boxes else None


def inside(point, box):
    return box is not None and box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
