"""The CPU engine gives the answers of the exact one, and never needs torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from checkpoint_factory import (
    classifier_state,
    configuration,
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_classifier,
    write_pretraining,
)
from core_factory import WriteInstance, breast
from numpy.typing import NDArray
from published_detector import write_detector
from safetensors.torch import save_file
from sample_images import FILM

from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.bundles.tensors import image_side_shapes
from mammoclip_core.engines import choice
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.engines.openvino_library import OpenVinoEncoder, OpenVinoOptions
from mammoclip_core.errors import BundleError, ComputingError, MissingLibraryError
from mammoclip_core.findings import LocalisationMethod
from mammoclip_core.manifest import read_manifest, write_manifest
from mammoclip_core.networks.detector import Detector
from mammoclip_core.networks.detector_layout import detector_shapes
from mammoclip_core.networks.efficientnet import NOMINAL_SIZES, EfficientNet
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_factor import factor_name, factor_shapes
from mammoclip_core.networks.numpy_projection import MapProjection
from mammoclip_core.networks.projection import MLPProjection
from mammoclip_core.published.convert import convert

FEATURES = 5e-4
"""Relative L2 error of pooled features between the two engines."""

SCORES = 1e-4


def error(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("architecture", NOMINAL_SIZES)
def test_layers_are_those_of_timm(architecture: str) -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(architecture)
    network = EfficientNet(architecture)

    state = encoder.backbone.state_dict()
    assert network.shapes == {name: tuple(value.shape) for name, value in state.items()}
    convolutions = {
        name: module
        for name, module in encoder.backbone.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.stride[0] == 2
    }
    assert list(network.padding) == list(convolutions)
    for name, module in convolutions.items():
        assert network.padding[name] == (module.kernel_size[0], module.before, module.after)
    feature_map = encoder.feature_map(torch.empty(1, 3, 333, 251, device="meta"))
    assert network.map_size(333, 251) == feature_map.shape[2:]


def test_detectors_have_the_tensors_of_the_exact_engine() -> None:
    with torch.device("meta"):
        state = Detector("tf_efficientnet_b2", 1).state_dict()

    expected = {name: tuple(value.shape) for name, value in state.items()}
    assert detector_shapes("tf_efficientnet_b2", 1) == expected


@pytest.mark.parametrize("padding", ["published", "dynamic"])
@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        ("tf_efficientnet_b0", (190, 114)),
        ("tf_efficientnet_b2", (333, 251)),
        ("tf_efficientnet_b5", (380, 228)),
    ],
)
def test_features_are_those_of_the_exact_engine(
    architecture: str, size: tuple[int, int], padding: str
) -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(architecture, padding).eval()
    for name, value in encoder.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
    images = torch.randn(2, 3, *size)
    tensors = {f"e.{name}": v.numpy() for name, v in encoder.backbone.state_dict().items()}
    mine = OpenVinoEncoder(
        EfficientNet(architecture, padding), tensors, "e.", size, OpenVinoOptions()
    )

    maps = mine.feature_maps(images.numpy())

    with torch.inference_mode():
        wanted = encoder.feature_map(images).numpy()
    assert error(maps, wanted) < FEATURES
    assert error(maps.mean(axis=(2, 3)), wanted.mean(axis=(2, 3))) < FEATURES


def test_residual_projection_and_its_gradient_are_those_of_torch() -> None:
    torch.manual_seed(0)
    module = MLPProjection(24, 8)
    features = torch.randn(3, 24, requires_grad=True)
    direction = torch.randn(8)
    embeddings = torch.nn.functional.normalize(module(features), dim=-1)
    (gradient,) = torch.autograd.grad((embeddings @ direction).sum(), features)
    mine = MapProjection("mlp", {k: v.numpy() for k, v in module.state_dict().items()})

    arrays = features.detach().numpy()
    np.testing.assert_allclose(mine(arrays), embeddings.detach().numpy(), atol=1e-6)
    found = mine.channel_weights(arrays, direction.numpy())
    np.testing.assert_allclose(found, gradient.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "type_"), [("float32", ov.Type.f32), ("bfloat16", ov.Type.bf16)]
)
def test_precision_and_pinning_are_as_set(precision: str, type_: ov.Type) -> None:
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    network = EfficientNet("tf_efficientnet_b0")
    tensors = {name: np.ones(shape, np.float32) for name, shape in network.shapes.items()}
    options = OpenVinoOptions(precision=precision, threads=1)
    if precision == "bfloat16" and "BF16" not in capabilities:
        with pytest.raises(ComputingError, match="bfloat16"):
            OpenVinoEncoder(network, tensors, "", (64, 64), options)
        return

    compiled = OpenVinoEncoder(network, tensors, "", (64, 64), options).network.compiled

    assert compiled.get_property("INFERENCE_PRECISION_HINT") == type_
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.fixture(scope="module")
def full_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with heads, a detector, Mammo-FActOR, a calibration, and the MLP projection."""
    folder = tmp_path_factory.mktemp("full")
    words = tokenizer(folder / "words")
    state = pretraining_state(vocabulary_size(words), "mlp")
    torch.manual_seed(4)
    config = configuration(model__projection_head__name="mlp")
    cells = EfficientNet("tf_efficientnet_b0").map_size(190, 114)
    factor = {
        factor_name("suspicious_calcification", name): torch.randn(shape) / 5
        for name, shape in factor_shapes(cells[0] * cells[1], 8).items()
    }
    save_file(factor, folder / "factor.safetensors")
    manifest = convert(
        write_pretraining(folder / "checkpoint.tar", state, config),
        str(words),
        folder / "bundle",
        heads={
            "cancer": write_classifier(folder / "cancer.pth", classifier_state()),
            "density": write_classifier(folder / "density.pth", classifier_state(4)),
        },
        detectors={"mass": write_detector(folder / "mass.pth", bias=-1.0)},
        factor=folder / "factor.safetensors",
    )
    calibrated = tuple(
        replace(entry, calibration=(1.5, 0.2)) if entry.name == "malignancy" else entry
        for entry in manifest.findings
    )
    write_manifest(replace(manifest, findings=calibrated), folder / "bundle")
    return folder / "bundle"


def test_promised_tensors_are_those_that_conversion_writes(full_bundle: Path) -> None:
    from safetensors import safe_open

    with safe_open(full_bundle / "model.safetensors", framework="np") as tensors:
        names = {name for name in tensors.keys() if not name.startswith("text_")}  # noqa: SIM118

    assert image_side_shapes(read_manifest(full_bundle)).keys() == names


def documents_of(bundle: Path, paths: list[Path]) -> list[Any]:
    return [
        choice.load_engine(bundle, engine=name).analyze(request_from(paths)).findings
        for name in (EngineName.TORCH, EngineName.OPENVINO)
    ]


def assert_equal_findings(exact: Any, mine: Any) -> None:
    assert len(exact.analysed) == len(exact.images) > 0
    for one, other in zip(exact.images, mine.images, strict=True):
        assert [f.name for f in one.findings] == [f.name for f in other.findings]
        assert other.density_scores == pytest.approx(one.density_scores, abs=SCORES)
        for finding, found in zip(one.findings, other.findings, strict=True):
            assert found.score == pytest.approx(finding.score, abs=SCORES), finding.name
            assert (found.method, found.source, found.head) == (
                finding.method,
                finding.source,
                finding.head,
            )
            if finding.method is LocalisationMethod.BOX:
                # The untrained detector's scores are nearly tied: rounding decides which box stays.
                continue
            assert len(found.regions) == len(finding.regions)
            for region, seen in zip(finding.regions, found.regions, strict=True):
                assert seen.box == pytest.approx(region.box, abs=2)
                assert seen.activation == pytest.approx(region.activation, abs=1e-3)


def test_full_bundle_gives_the_same_findings(
    full_bundle: Path, write_instance: WriteInstance
) -> None:
    exact, mine = documents_of(full_bundle, [write_instance(breast(300, 200))])

    assert_equal_findings(exact, mine)
    sources = {finding.source.value for finding in mine.images[0].findings}
    assert sources >= {"head"}
    assert exact.settings_sha256 != mine.settings_sha256


def test_demonstration_bundle_gives_the_same_findings(random_bundle: Path) -> None:
    exact, mine = documents_of(random_bundle, [FILM])

    assert_equal_findings(exact, mine)


def test_image_is_analysed_without_torch(
    random_bundle: Path, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "mammoclip_core.commands.predict",
        "image",
        str(FILM),
    ]
    command += ["--bundle", str(random_bundle), "--json-out", str(tmp_path / "findings.json")]

    done = subprocess.run(command, env=without_torch, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    images = json.loads((tmp_path / "findings.json").read_text())["images"]
    assert {image["status"] for image in images} == {"analysed"}


def test_study_is_rendered_without_torch(
    random_bundle: Path, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    command = [
        sys.executable,
        "-m",
        "dicom_node.commands.node",
        "render",
        str(FILM),
    ]
    command += ["--bundle", str(random_bundle), "--out", str(tmp_path / "out")]

    done = subprocess.run(command, env=without_torch, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").rglob("*.dcm"))


def test_openvino_does_not_import_torch_where_it_is_installed(random_bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from mammoclip_core.engines.choice import load_engine; "
        f"load_engine(Path({str(random_bundle)!r})); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    loaded = set(run.stdout.split())
    assert "openvino" in loaded
    assert not {"torch", "timm", "torchvision", "transformers"} & loaded


@pytest.mark.parametrize("options", [["--engine", "torch"], ["--device", "cuda"], ["--prompts"]])
def test_missing_library_is_named_with_its_extra(
    random_bundle: Path,
    tmp_path: Path,
    without_torch: dict[str, str],
    options: list[str],
) -> None:
    if options == ["--prompts"]:
        prompts = tmp_path / "prompts.toml"
        prompts.write_text('[[pairs]]\nname = "a"\nnegative = "no a"\npositive = "a"\n')
        options = ["--prompts", str(prompts)]
    command = [
        sys.executable,
        "-m",
        "mammoclip_core.commands.predict",
        "image",
        str(FILM),
    ]
    command += ["--bundle", str(random_bundle), *options]

    done = subprocess.run(command, env=without_torch, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install '.[cuda]'" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("installed", "device", "expected"),
    [
        ({"torch", "timm", "transformers", "openvino"}, "cpu", EngineName.OPENVINO),
        ({"torch", "timm", "transformers", "openvino"}, "cuda:0", EngineName.TORCH),
        ({"torch", "timm", "transformers"}, "cpu", EngineName.TORCH),
        ({"openvino"}, "cpu", EngineName.OPENVINO),
    ],
)
def test_engine_is_chosen_by_device_and_libraries(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], device: str, expected: EngineName
) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda name: name in installed)

    assert choice.chosen_engine(EngineName.AUTO, device) is expected


@pytest.mark.parametrize(
    ("wish", "extra"), [(EngineName.AUTO, r"\[cpu\]"), (EngineName.TORCH, r"\[cuda\]")]
)
def test_nothing_installed_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, wish: EngineName, extra: str
) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda _: False)

    with pytest.raises(MissingLibraryError, match=extra):
        choice.chosen_engine(wish, "cpu")


def test_openvino_on_a_gpu_is_refused() -> None:
    with pytest.raises(BundleError, match="needs torch"):
        choice.chosen_engine(EngineName.OPENVINO, "cuda")


def test_embedding_is_that_of_the_exact_engine(random_bundle: Path) -> None:
    grey = breast(380, 228).astype(np.float32) / 4000
    batch = np.repeat(grey[None, None], 3, axis=1)

    mine = choice.load_model(random_bundle, engine=EngineName.OPENVINO).embed(batch)
    exact = choice.load_model(random_bundle, engine=EngineName.TORCH).embed(batch)

    assert error(mine[0], exact[0]) < FEATURES
    assert error(mine[1], exact[1]) < FEATURES
