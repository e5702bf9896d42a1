"""The harder families: other machines, groups that no counter tells apart, a second generator."""

import ast
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import training.phantoms
from training.phantoms.families import draw_patient, draw_view
from training.phantoms.family import Family
from training.phantoms.machine import Machine, acquire
from training.phantoms.patient import draw_patient as draw_plain_patient
from training.phantoms.writing import Order, write_phantoms
from training.reports.report_synthesis import Attribute

SMALL = (190, 114)
HARDER = [Family.VARIED, Family.FILAMENT]


@pytest.fixture(scope="module")
def patients():
    return [draw_patient(11, number, Family.VARIED) for number in range(500)]


def bearing(family, attribute):
    """Yield patients with one lesion, of the attribute, in a breast, and that breast."""
    for number in itertools.count():
        patient = draw_patient(5, number, family)
        for breast in patient.breasts:
            if [lesion.observation.attribute for lesion in breast.lesions] == [attribute]:
                yield patient, breast


def has_calcifications(breast):
    kinds = [lesion.observation.attribute for lesion in breast.lesions]
    return Attribute.SUSPICIOUS_CALCIFICATION in kinds


def test_patient_is_plain_unless_a_family_is_named():
    assert draw_patient(3, 1) == draw_plain_patient(3, 1)


def test_no_two_families_share_a_patient():
    patients = [draw_patient(3, 1, family) for family in Family]

    assert len({patient.patient_id for patient in patients}) == len(Family)
    assert len({repr(patient.breasts) for patient in patients}) == len(Family)


@pytest.mark.parametrize("family", HARDER)
def test_view_is_the_same_for_the_same_seed(family):
    patient = draw_patient(2, 0, family)

    first, again = (draw_view(patient, patient.breasts[0], "MLO", *SMALL) for _ in range(2))

    assert np.array_equal(first.pixels, again.pixels)


@pytest.mark.parametrize("family", HARDER)
@pytest.mark.parametrize(
    "attribute",
    [Attribute.MASS, Attribute.SUSPICIOUS_CALCIFICATION, Attribute.ARCHITECTURAL_DISTORTION],
)
def test_lesion_is_drawn_where_its_mask_is(family, attribute):
    patient, breast = next(bearing(family, attribute))
    patient = replace(patient, machine=None, has_marker=False)
    view = draw_view(patient, replace(breast, benign=()), "CC")
    healthy = draw_view(patient, replace(breast, benign=(), lesions=()), "CC")

    added = view.pixels.astype(float) - healthy.pixels

    (shown,) = view.lesions
    left, top, right, bottom = (round(side) for side in shown.box)
    assert added[shown.mask].mean() > 0
    # The same noise lies on both, so far from the lesion nothing changes but single specks.
    outside = np.ones(added.shape, bool)
    reach = max(right - left, bottom - top)
    outside[max(top - reach, 0) : bottom + reach, max(left - reach, 0) : right + reach] = False
    assert np.median(np.abs(added[outside])) == 0


def test_machines_differ_from_patient_to_patient(patients):
    machines = {patient.machine for patient in patients}

    assert len(machines) == len(patients)
    noise = [machine.noise for machine in machines]
    assert max(noise) > 3 * min(noise)


def test_benign_groups_stand_beside_suspicious_ones_too(patients):
    """A counter of round dots sees a third of a suspicious group, and the benign ones whole."""
    breasts = [breast for patient in patients for breast in patient.breasts]
    beside = [len(breast.benign) for breast in breasts if has_calcifications(breast)]
    without = [len(breast.benign) for breast in breasts if not has_calcifications(breast)]

    assert np.mean(np.array(without) > 0) > 0.85
    assert np.mean(np.array(beside) > 0) == pytest.approx(np.mean(np.array(without) > 0), abs=0.08)
    assert np.mean(beside) + 1 / 3 == pytest.approx(np.mean(without), abs=0.2)


def test_neighbouring_density_classes_overlap(patients):
    shares = {letter: [] for letter in "ABCD"}
    for patient in patients:
        shares[patient.density].append(patient.breasts[0].gland_share)

    for denser, thinner in itertools.pairwise("DCBA"):
        assert np.min(shares[denser]) < np.max(shares[thinner])
        assert np.median(shares[denser]) > np.median(shares[thinner])


def test_machine_adds_its_noise_and_takes_away_sharpness():
    plain = {"gain": 1.0, "sharpening": 0.0, "sharpening_radius": 3.0, "gamma": 1.0, "grain": 0.0}
    edge = np.full((200, 200), 1500.0, np.float32)
    edge[:, 100:] = 1600.0

    noisy = acquire(edge, Machine(blur=0.0, noise=40.0, **plain), 1, np.random.default_rng(1))
    soft = acquire(edge, Machine(blur=1.5, noise=0.0, **plain), 1, np.random.default_rng(1))

    assert noisy[:, :90].std() == pytest.approx(40.0, rel=0.1)
    assert np.abs(np.diff(soft[100])).max() < 0.5 * np.abs(np.diff(edge[100])).max()


def test_second_generator_shares_no_texture_and_no_lesion_with_the_first():
    folder = Path(training.phantoms.__path__[0])
    texture_or_lesions = {"tissue", "masses", "calcifications"}

    for file in folder.glob("filament_*.py"):
        imported = {
            node.module.removeprefix("training.phantoms.")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module
        }
        assert not imported & texture_or_lesions


@pytest.mark.parametrize("family", HARDER)
def test_tables_of_a_harder_family_are_written(family, tmp_path):
    rows, columns = SMALL
    write_phantoms(
        Order(seed=3, studies=1, out=tmp_path, rows=rows, columns=columns, family=family)
    )

    letter = {"varied": "V", "filament": "F"}[family.value]
    assert len(list(tmp_path.glob(f"png/{letter}3N000000/*.png"))) == 4
    assert f"{letter}3N000000" in (tmp_path / "images.csv").read_text(encoding="utf-8")
