"""The published detector from its file to its boxes, against the official code's numbers."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reproducible_weights import FIXTURES, textured_half_ellipse, write_detector

from mammoclip_core.bundles.tensors import detector_prefix
from mammoclip_core.engines.openvino_graph import detector_graph
from mammoclip_core.engines.openvino_library import (
    OpenVinoBoxModel,
    OpenVinoNetwork,
    OpenVinoOptions,
)
from mammoclip_core.errors import CheckpointError, PixelError
from mammoclip_core.findings import BOX_THRESHOLD
from mammoclip_core.images.detector_input import to_detector_input, to_detector_square
from mammoclip_core.networks.anchors import MAX_BOXES, Selection, anchors_of, decode, select
from mammoclip_core.networks.detector import Detector
from mammoclip_core.networks.efficientnet import DYNAMIC_PADDING, EfficientNet
from mammoclip_core.published.detector_file import DetectorFile, detector_plan, read_detector

ANCHORS_OF_LEVELS = [9 * side**2 for side in (64, 32, 16, 8, 4)]

Arrays = dict[str, NDArray[Any]]
Answer = Callable[[str, str], tuple[torch.Tensor, ...]]


def error(found: Any, wanted: NDArray[Any]) -> float:
    difference = np.asarray(found, np.float64) - wanted
    return float(np.linalg.norm(difference) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def expected() -> Arrays:
    with np.load(FIXTURES / "detector-b2-expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``1`` and ``2`` of detectors with that many classes."""
    folder = tmp_path_factory.mktemp("detectors")
    for classes in (1, 2):
        (folder / str(classes)).mkdir()
        write_detector(folder / str(classes) / "detector.pth", classes)
    return folder


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    grey = textured_half_ellipse(512, 512)
    return torch.from_numpy(to_detector_input(grey)).expand(1, 3, -1, -1)


@pytest.fixture(scope="module")
def detector(files: Path) -> Detector:
    return read_detector(files / "1" / "detector.pth").build()


def by_torch(found: DetectorFile, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.inference_mode():
        scores, deltas = found.build()(image)
    return scores[0], deltas[0]


def by_openvino(found: DetectorFile, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
    network = EfficientNet(found.architecture, DYNAMIC_PADDING)
    tensors = {name: value.numpy() for name, value in found.state.items()}
    size = (512, 512)
    build = partial(detector_graph, network, tensors, "", size, found.classes)
    answer = OpenVinoNetwork(build, size, OpenVinoOptions()).infer(image[0].numpy())
    scores, deltas = (torch.from_numpy(part[0]) for part in answer)
    return scores, deltas


ENGINES = {"torch": by_torch, "openvino": by_openvino}


@pytest.fixture(scope="module")
def answer(files: Path, image: torch.Tensor) -> Answer:
    """Give scores and deltas of all anchors, by engine and number of classes."""

    @cache
    def given(engine: str, classes: str) -> tuple[torch.Tensor, ...]:
        return ENGINES[engine](read_detector(files / classes / "detector.pth"), image)

    return given


@pytest.fixture(params=ENGINES)
def outputs(request: pytest.FixtureRequest, answer: Answer) -> tuple[torch.Tensor, torch.Tensor]:
    scores, deltas = answer(request.param, "1")
    return scores[:, 0], deltas


def test_file_tells_its_score(files: Path) -> None:
    found = read_detector(files / "2" / "detector.pth")

    assert (found.architecture, found.classes) == ("tf_efficientnet_b2", 2)
    assert found.mean_average_precision == 0.5


def test_taps_and_levels_are_the_official_ones(
    detector: Detector, image: torch.Tensor, expected: Arrays
) -> None:
    with torch.inference_mode():
        taps = detector.encoder.taps(image)
        levels = detector.pyramid(taps)

    names = [f"{letter}{level}_mean" for letter, level in zip("cccppppp", "34534567", strict=True)]
    for name, values in zip(names, [*taps, *levels], strict=True):
        assert error(values[0].mean(0), expected[name]) < 1e-4, name
    assert error(levels[0][0, 7], expected["p3_unit7"]) < 1e-4


def test_anchors_are_the_official_ones(expected: Arrays) -> None:
    anchors = anchors_of(512, 512)

    assert len(anchors) == 49_104
    assert error(anchors[:9], expected["anchors_first"]) < 1e-6
    assert error(anchors[-9:], expected["anchors_last"]) < 1e-6
    assert error(anchors[::17], expected["anchors_sub"]) < 1e-6


def test_raw_outputs_are_the_official_ones(
    outputs: tuple[torch.Tensor, torch.Tensor], expected: Arrays
) -> None:
    scores, deltas = outputs

    assert error(scores[::17], expected["prob_sub"]) < 1e-4
    assert error(deltas[::17], expected["delta_sub"]) < 1e-4
    means = [part.mean() for part in scores.split(ANCHORS_OF_LEVELS)]
    assert error(torch.stack(means), expected["prob_level_mean"]) < 1e-4
    shifts = [part.mean(0) for part in deltas.split(ANCHORS_OF_LEVELS)]
    assert error(torch.stack(shifts), expected["delta_level_mean"]) < 1e-4


def test_candidates_are_the_official_ones(
    outputs: tuple[torch.Tensor, torch.Tensor], expected: Arrays
) -> None:
    scores, deltas = outputs
    numbers = np.sort(expected["pre_anchor"]).astype(np.int64)
    order = np.argsort(expected["pre_anchor"])

    assert torch.nonzero(scores > 0.05)[:, 0].tolist() == numbers.tolist()
    boxes = decode(anchors_of(512, 512), deltas.numpy(), 512, 512)[numbers]
    assert np.abs(boxes - expected["pre_box"][order]).max() < 0.02


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("classes", "prefix"), [("1", ""), ("2", "two_")])
def test_boxes_are_the_official_ones(
    answer: Answer, expected: Arrays, classes: str, prefix: str, engine: str
) -> None:
    scores, deltas = (part.numpy() for part in answer(engine, classes))

    found = select(scores, decode(anchors_of(512, 512), deltas, 512, 512))

    keep = expected[f"{prefix}keep"]
    assert sorted(found.anchors.tolist()) == sorted(keep.tolist())
    mine, theirs = np.argsort(found.anchors), np.argsort(keep)
    scores, boxes = found.scores[mine], found.boxes[mine]
    assert np.abs(scores - expected[f"{prefix}prob"][theirs]).max() < 1e-4
    assert np.abs(boxes - expected[f"{prefix}box"][theirs]).max() < 0.02
    assert (found.labels[mine] == expected[f"{prefix}label"][theirs]).all()


def test_engine_without_torch_reports_the_official_boxes(
    files: Path, image: torch.Tensor, expected: Arrays
) -> None:
    found = read_detector(files / "1" / "detector.pth")
    tensors = {detector_prefix("mass") + name: value.numpy() for name, value in found.state.items()}
    model = OpenVinoBoxModel({"mass": found.architecture}, tensors, OpenVinoOptions())

    (boxes,) = model.detect(image.numpy())

    order = np.argsort(-expected["prob"])
    order = order[expected["prob"][order] > BOX_THRESHOLD][:MAX_BOXES]
    assert 0 < len(order) < len(expected["prob"])
    np.testing.assert_allclose(
        [item.score for item in boxes["mass"]], expected["prob"][order], atol=1e-4
    )
    np.testing.assert_allclose(
        [item.box for item in boxes["mass"]], expected["box"][order], atol=0.02
    )


def test_resized_pixels_are_the_official_ones(expected: Arrays) -> None:
    square = to_detector_square(textured_half_ellipse())

    assert (square[[100, 256, 400]] == expected["cubic_rows"]).all()
    assert int(square.sum(dtype=np.int64)) == int(expected["cubic_sum"])


def test_image_of_one_value_is_refused() -> None:
    with pytest.raises(PixelError, match="one single value"):
        to_detector_input(np.full((64, 48), 7, np.uint8))


def test_boxes_are_clipped_at_the_near_edge_below_and_the_far_edge_above() -> None:
    anchors = np.array([[-8, -8, 8, 8], [56, 24, 72, 40]], np.float32)

    boxes = decode(anchors, np.zeros((2, 4), np.float32), rows=32, columns=64)

    assert boxes.tolist() == [[0, 0, 8, 8], [56, 24, 64, 32]]


def test_a_box_is_suppressed_by_a_better_one_of_another_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]], np.float32)
    scores = np.array([[0.3, 0.1], [0.1, 0.6], [0.05, 0.02]], np.float32)

    found: Selection = select(scores, boxes)

    assert (found.anchors.tolist(), found.labels.tolist()) == ([1], [1])


def published(classes: int = 1) -> dict[str, torch.Tensor]:
    plan = detector_plan("tf_efficientnet_b0", classes)
    return {key: torch.zeros(place.shape) for key, place in plan.items()}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"fpn.P6.bias": None}, r"missing: fpn\.P6\.bias"),
        ({"fpn.P8.bias": torch.zeros(1)}, r"unknown: fpn\.P8\.bias"),
        ({"fpn.P6.bias": torch.zeros(3)}, r"another shape: fpn\.P6\.bias \(3,\)"),
        ({"fpn.P6.bias": torch.full((256,), torch.nan)}, r"not finite: fpn\.P6\.bias"),
        ({"classificationModel.output.weight": torch.zeros(10, 256, 3, 3)}, "not a multiple"),
        ({"classificationModel.output.weight": None}, "not a detector"),
    ],
    ids=["missing", "unknown", "shape", "nan", "classes", "other"],
)
def test_file_of_another_model_is_refused(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    state = {key: value for key, value in {**published(), **change}.items() if value is not None}
    torch.save({"state_dict": state}, tmp_path / "detector.pth")

    with pytest.raises(CheckpointError, match=complaint):
        read_detector(tmp_path / "detector.pth")


def test_unused_classifier_of_the_encoder_may_be_there_or_not(tmp_path: Path) -> None:
    extra = {"efficientnet._fc.weight": torch.zeros(1, 4), "efficientnet._fc.bias": torch.zeros(1)}
    for name, state in (("with", {**published(), **extra}), ("without", published())):
        torch.save({"state_dict": state}, tmp_path / name)

    assert read_detector(tmp_path / "with").state.keys() == detector_names()
    assert read_detector(tmp_path / "without").state.keys() == detector_names()


def detector_names() -> set[str]:
    return set(Detector("tf_efficientnet_b0", 1).state_dict())
