"""The detector: its loss, what it learns, and the file that a bundle takes."""

import math

import numpy as np
import pytest
import torch

from mammoclip_core.networks.anchors import SCORE_THRESHOLD, anchors_of, decode
from mammoclip_core.networks.detector import Detector
from training.data.augmentation import PLAIN, Augmentation
from training.detection.examples import Example, Examples, ShownBatches, shown
from training.detection.fitting import (
    DetectionSettings,
    detected,
    fit_detector,
    initialise,
    is_better,
)
from training.detection.losses import detection_loss, encoded, matched
from training.detection.recipes import detection_recipe
from training.learning.presets import Preset
from training.measures.box_figures import average_precision_of
from training.measures.localisation import Detections, mean_average_precision

SIDE = 64
ARCHITECTURE = "tf_efficientnet_b0"


def examples(count, seed, share=1.0):
    """Grey noise with one bright square of 28 to 36 pixels, or none."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        image = generator.integers(0, 60, (SIDE, SIDE)).astype(np.uint8)
        side = int(generator.integers(28, 37))
        left, top = generator.integers(0, SIDE - side, 2)
        bears = number < share * count
        if bears:
            image[top : top + side, left : left + side] += 150
        box = np.array([[left, top, left + side, top + side]], np.float32)
        made.append(Example(patient_id=str(number), square=image, boxes=box if bears else box[:0]))
    return made


@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    detector = Detector(ARCHITECTURE, 1)
    initialise(detector)
    return detector.eval()


def test_every_anchor_begins_with_one_percent(fresh):
    with torch.inference_mode():
        scores, deltas = fresh(torch.randn(1, 3, SIDE, SIDE))

    torch.testing.assert_close(scores, torch.full_like(scores, 0.01))
    assert not deltas.any()
    assert fresh.pyramid.smooth[0].weight.detach().std().item() == pytest.approx(
        math.sqrt(2 / (9 * 256)), rel=0.02
    )


def test_loss_is_what_a_plain_loop_computes():
    generator = torch.Generator().manual_seed(3)
    anchors = torch.from_numpy(anchors_of(SIDE, SIDE))
    logits = torch.randn(2, len(anchors), 1, generator=generator)
    deltas = torch.randn(2, len(anchors), 4, generator=generator)
    truths = [torch.tensor([[3.0, 5.0, 40.0, 44.0], [30.0, 2.0, 60.0, 33.0]]), torch.zeros(0, 4)]

    loss = detection_loss((logits, deltas), anchors, truths, alpha=0.6, gamma=2.0)

    classes, sides, positives = 0.0, [], 0
    for anchor, logit, delta in zip(
        anchors.double().numpy(), logits[0, :, 0].tolist(), deltas[0].tolist(), strict=True
    ):
        best, overlap = None, -1.0
        for box in truths[0].tolist():
            width = min(anchor[2], box[2]) - max(anchor[0], box[0])
            height = min(anchor[3], box[3]) - max(anchor[1], box[1])
            common = max(width, 0) * max(height, 0)
            own = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
            share = common / (own + (box[2] - box[0]) * (box[3] - box[1]) - common)
            if share > overlap:
                best, overlap = box, share
        p = 1 / (1 + math.exp(-logit))
        if overlap >= 0.5:
            positives += 1
            classes += -0.6 * (1 - p) ** 2 * math.log(p)
            width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
            target = [
                ((best[0] + best[2]) / 2 - (anchor[0] + anchor[2]) / 2) / width / 0.1,
                ((best[1] + best[3]) / 2 - (anchor[1] + anchor[3]) / 2) / height / 0.1,
                math.log((best[2] - best[0]) / width) / 0.2,
                math.log((best[3] - best[1]) / height) / 0.2,
            ]
            for found, wanted in zip(delta, target, strict=True):
                gap = abs(found - wanted)
                sides.append(4.5 * gap**2 if gap <= 1 / 9 else gap - 1 / 18)
        elif overlap < 0.4:
            classes += -0.4 * p**2 * math.log(1 - p)
    assert positives > 3
    assert loss.item() == pytest.approx((classes / positives + np.mean(sides)) / 2, rel=1e-4)


def test_clean_image_teaches_background_only_if_asked():
    anchors = torch.from_numpy(anchors_of(SIDE, SIDE))
    logits = torch.zeros(1, len(anchors), 1, requires_grad=True)
    outputs = (logits, torch.zeros(1, len(anchors), 4))

    quiet = detection_loss(outputs, anchors, [torch.zeros(0, 4)], alpha=0.25, gamma=2.0)
    taught = detection_loss(
        outputs, anchors, [torch.zeros(0, 4)], alpha=0.25, gamma=2.0, with_clean=True
    )

    assert quiet.item() == 0
    (gradient,) = torch.autograd.grad(taught, logits)
    assert (gradient > 0).all()


def test_encoded_boxes_are_decoded_to_themselves():
    anchors = torch.tensor([[4.0, 4.0, 36.0, 36.0], [0.0, 10.0, 45.0, 32.0]])
    boxes = torch.tensor([[6.0, 1.0, 50.0, 30.0], [2.0, 11.0, 40.0, 40.0]])

    found = decode(anchors.numpy(), encoded(anchors, boxes).numpy(), SIDE, SIDE)

    np.testing.assert_allclose(found, boxes.numpy(), atol=1e-4)


def test_anchor_between_object_and_background_is_not_judged():
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(3, 1)
    anchors[:, 2] = torch.tensor([10.0, 22.0, 30.0])

    is_positive, is_judged, _ = matched(anchors, torch.tensor([[0.0, 0.0, 10.0, 10.0]]))

    assert is_positive.tolist() == [True, False, False]
    assert is_judged.tolist() == [True, False, True]


@pytest.fixture(scope="module")
def fitted():
    torch.manual_seed(0)
    detector = Detector(ARCHITECTURE, 1)
    initialise(detector)
    recipe = detection_recipe(Preset.README, epochs=5, batch_size=4, learning_rate=3e-4)
    settings = DetectionSettings(recipe=recipe, is_frozen=True, augmentation=PLAIN)
    data = Examples(training=examples(8, 1), held_out=examples(1, 2), test=examples(1, 3))
    return fit_detector(detector, data, settings)


def test_loss_falls(fitted):
    assert fitted.losses[-1] < 0.7 * fitted.losses[0]
    assert 0 <= fitted.honest.epoch < 5


def test_frozen_encoder_keeps_its_parameters_while_batchnorm_moves():
    torch.manual_seed(0)
    detector = Detector(ARCHITECTURE, 1)
    initialise(detector)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    recipe = detection_recipe(Preset.README, epochs=1, batch_size=2)
    settings = DetectionSettings(recipe=recipe, is_frozen=True)
    data = Examples(training=examples(2, 1), held_out=examples(1, 2), test=examples(1, 3))

    fit_detector(detector, data, settings)

    after = detector.state_dict()
    weights = [name for name, _ in detector.encoder.named_parameters()]
    assert all(torch.equal(before[f"encoder.{name}"], after[f"encoder.{name}"]) for name in weights)
    assert not torch.equal(
        before["encoder.backbone.bn1.running_mean"], after["encoder.backbone.bn1.running_mean"]
    )
    assert not torch.equal(before["classes.output.weight"], after["classes.output.weight"])


def test_boxes_stay_on_what_they_were_drawn_around():
    (example,) = examples(1, 5)
    augmentation = Augmentation(flip=1.0, affine=0.0, elastic_alpha=0.0)

    images, (boxes,) = shown([example], 0.0, 1.0, augmentation=augmentation, seeds=[1])

    left, top, right, bottom = boxes[0].int().tolist()
    inside = images[0, 0, top:bottom, left:right]
    assert boxes.shape == (1, 4)
    assert inside.min() > 0.6
    assert (images[0, 0] > 0.6).sum() == inside.numel()


def test_turned_boxes_hold_what_they_were_drawn_around():
    for seed in range(5):
        (example,) = examples(1, seed)
        images, (boxes,) = shown(
            [example], 0.0, 1.0, augmentation=Augmentation(elastic_alpha=0.0), seeds=[seed]
        )
        rows, columns = torch.nonzero(images[0, 0] > 0.8, as_tuple=True)
        left, top, right, bottom = boxes[0].tolist()
        assert left - 1 <= columns.min() <= columns.max() <= right + 1
        assert top - 1 <= rows.min() <= rows.max() <= bottom + 1


def test_average_precision_with_its_interval_is_the_plain_one():
    generator = np.random.default_rng(2)
    images = []
    for number in range(12):
        truth = examples(1, number)[0].boxes.astype(np.float64)
        boxes = np.concatenate([truth + generator.normal(0, 6, 4), truth + 30, truth])
        images.append(
            Detections(boxes=boxes, scores=generator.random(3), truth=truth[: number % 3])
        )
    names = [str(number // 2) for number in range(12)]

    for threshold, cut in ((0.25, 0.0), (0.5, 0.3)):
        found = average_precision_of(images, threshold, names, score_cut=cut, repeats=20)
        plain = mean_average_precision(images, threshold, score_cut=cut)
        assert found.value == pytest.approx(plain)
        assert found.low <= found.value <= found.high


def test_presets_differ_where_the_authors_do():
    paper, readme = (detection_recipe(preset) for preset in Preset)

    assert (paper.alpha, paper.score_cut) == (0.6, SCORE_THRESHOLD)
    assert (readme.alpha, readme.score_cut) == (0.25, 0.2)
    assert (paper.epochs, paper.batch_size, paper.gradient_norm) == (120, 7, 0.1)


@pytest.mark.parametrize(
    ("value", "former", "expected"),
    [
        (0.4, 0.3, True),
        (0.3, 0.3, False),
        (0.0, 0.3, False),
        (0.0, 0.0, True),
        (math.nan, 0.3, False),
        (math.nan, math.nan, True),
        (0.1, math.nan, True),
    ],
)
def test_first_of_the_best_epochs_is_kept(value, former, expected):
    assert is_better(value, former) is expected


def test_boxes_of_a_fresh_detector_are_below_the_cut(fresh):
    (found,) = detected(fresh, examples(1, 1))

    assert len(found.boxes) == 0
    assert len(found.truth) == 1


def test_worker_processes_make_the_same_batches_and_leave_the_random_state():
    batches = ShownBatches(
        examples(6, seed=1), [([4, 1], [7, 8]), ([0, 5], [9, 3])], Augmentation()
    )
    state = torch.random.get_rng_state()

    here, elsewhere = list(batches.loaded(0)), list(batches.loaded(2))

    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(here) == 2
    for (images, boxes), (others, their_boxes) in zip(here, elsewhere, strict=True):
        assert torch.equal(images, others)
        assert all(map(torch.equal, boxes, their_boxes))
