"""The examination: seeds nobody chose, pictures made worse, a killed run that continues."""

import json

import numpy as np
import pytest
import torch
from small_bundles import small_random_bundle

from training.examples.demonstration.held_out_seeds import held_out_seeds
from training.examples.demonstration.look import Look, LookAugmentation
from training.examples.demonstration.robustness import (
    TABLE_NAME,
    Examination,
    examine,
    robustness_figures,
)
from training.measures.degradation import CLEAN, Degradation
from training.phantoms.family import Family

NOISY = Degradation(name="noise of 6 of 255", noise=6.0)


@pytest.fixture(scope="module")
def order(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examination")
    return Examination(
        bundle=small_random_bundle(folder / "bundle"),
        out=folder,
        studies=1,
        families=[Family.VARIED],
        seeds=[3],
        degradations=[CLEAN, NOISY],
    )


@pytest.fixture(scope="module")
def figures(order):
    return examine(order)


def test_seeds_are_digits_of_the_weights():
    assert held_out_seeds("0000000a" + "00000100" + "f" * 48, 2) == (10, 256)


def test_table_has_a_row_for_each_way_finding_and_measure(order, figures):
    table = (order.out / TABLE_NAME).read_text(encoding="utf-8")

    rows = {(figure.task, figure.setting, figure.measure) for figure in figures}
    for way in (CLEAN, NOISY):
        for finding in ("mass", "suspicious calcification"):
            for measure in ("AUROC", "specificity at the threshold"):
                assert (f"varied phantoms, {finding}", way.name, measure) in rows
        assert ("varied phantoms, density", way.name, "accuracy") in rows
        assert f"| varied phantoms, density | {way.name} |" in table


def test_study_that_was_answered_is_not_drawn_again(order, figures):
    (kept,) = order.out.glob("answers-*/*.json")
    rows = json.loads(kept.read_text(encoding="utf-8"))
    marked = [{**row, "density": 0, "said_density": 0} for row in rows]
    kept.write_text(json.dumps(marked), encoding="utf-8")

    again = examine(order)

    kept.write_text(json.dumps(rows), encoding="utf-8")
    density = [figure for figure in again if figure.task.endswith("density")]
    assert all(figure.honest.value == 1.0 for figure in density)


def test_specificity_counts_images_without_the_finding():
    rows = [
        {
            "family": "varied",
            "patient": f"P{place}",
            "way": "clean",
            "labels": {"mass": has, "suspicious_calcification": False},
            "scores": {"mass": score, "suspicious_calcification": 0.0},
            "above": {"mass": score > 0.5, "suspicious_calcification": False},
            "density": 0,
            "said_density": 0,
        }
        for place, (has, score) in enumerate(
            [(True, 0.9), (True, 0.2), (False, 0.6), (False, 0.1), (False, 0.3), (False, 0.2)]
        )
    ]

    value = {
        figure.measure: figure.honest.value
        for figure in robustness_figures(rows)
        if figure.task == "varied phantoms, mass"
    }

    assert value["specificity at the threshold"] == 0.75
    assert value["sensitivity at the threshold"] == 0.5


def test_look_changes_noise_and_keeps_its_range():
    image = torch.full((1, 64, 48), 0.5)
    look = Look(share=1.0, blur=0.0, gain=(1.0, 1.0), gamma=(1.0, 1.0))

    changed = look(image, np.random.default_rng(1))

    assert 0 < float(changed.std()) <= 5.5 / 255
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_look_of_an_image_is_the_same_for_the_same_seed():
    image = torch.rand((1, 64, 48), generator=torch.Generator().manual_seed(1))
    augmentation = LookAugmentation()

    looks = [augmentation(image, seed) for seed in (4, 4, 5)]

    assert looks[0].equal(looks[1])
    assert not looks[0].equal(looks[2])
