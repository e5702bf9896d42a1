"""What comes back says how each region was found: by Mammo-FActOR where the bundle has it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from safetensors import torch as torch_file
from safetensors.numpy import load_file
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, running
from typer.testing import CliRunner

from dicom_node.commands.node import app as node
from mammoclip_core.bundles.writing import write_arrays, write_bundle
from mammoclip_core.commands.predict import app as predict
from mammoclip_core.manifest import PROMPTS_NAME, TOKENIZER_FOLDER, WEIGHTS_NAME, read_manifest
from mammoclip_core.networks.image_encoder import ImageEncoder
from mammoclip_core.networks.mammo_factor import factor_name, factor_shapes
from mammoclip_core.networks.numpy_projection import projection_shapes
from mammoclip_core.published.factor_file import read_factor

SR, SEG, SC = (
    "1.2.840.10008.5.1.4.1.1.88.34",
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.7",
)

METHODS = {
    "130401": "Mammo-FActOR",
    "130402": "class activation",
    "130403": "gradient-weighted class activation",
}
"""Words by code value (PS3.16 annex D)."""

pytestmark = pytest.mark.timeout(600)


class Results:
    """What became of the film study, by SOP class, and the findings document."""

    def __init__(self, every: list[Dataset], document: str) -> None:
        self.by_class = {
            kind: [one for one in every if one.SOPClassUID == kind] for kind in (SR, SEG, SC)
        }
        self.document = json.loads(document)


@pytest.fixture(scope="module", params=METHODS)
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bundle: Path
) -> Iterator[tuple[str, Results]]:
    """The study of the demonstration, analysed by bundles that find regions in different ways.

    One of them through a whole site; the others, to save its start, by the commands that do the
    same without services.
    """
    folder = tmp_path_factory.mktemp("method")
    used = bundle
    if METHODS[request.param] == "Mammo-FActOR":
        used = with_factor(bundle, folder / "bundle")
    if METHODS[request.param] == "gradient-weighted class activation":
        used = with_residual_projection(bundle, folder / "bundle")
    if METHODS[request.param] != "Mammo-FActOR":
        yield request.param, Results(*by_commands(used, folder))
        return
    site = Site(folder, used)
    sent = datasets_of(FILM)
    with running(site, "archive", "broker", "node", "worker"):
        assert all_stored(send(sent, site.node_port))
        site.wait_for_condition(sent[0].StudyInstanceUID, "delivered")
        uid = sent[0].StudyInstanceUID
        every = [pydicom.dcmread(BytesIO(content)) for content in site.archive.instances(uid)]
        yield request.param, Results(every, site.study_record(uid)["analyses"][-1]["findings"])


def with_factor(source: Path, out: Path) -> Path:
    """Write a bundle that has Mammo-FActOR too, of random weights."""
    manifest = read_manifest(source)
    (entry,), pixels = manifest.encoders, manifest.preprocessing
    with torch.device("meta"):
        encoder = ImageEncoder(entry.architecture, entry.padding)
    rows, columns = encoder.map_size(pixels.rows, pixels.columns)
    generator = torch.Generator().manual_seed(8)
    weights = {
        factor_name(entry.name, name): torch.randn(shape, generator=generator) / 5
        for entry in manifest.findings
        if not entry.is_class_set
        for name, shape in factor_shapes(rows * columns, 16).items()
    }
    file = out.with_suffix(".safetensors")
    torch_file.save_file(weights, file)
    entries, tensors = read_factor(file, manifest)
    out.mkdir()
    write_bundle(
        {**torch_file.load_file(source / WEIGHTS_NAME), **tensors},
        replace(manifest, factor=entries),
        torch_file.load_file(source / PROMPTS_NAME),
        source / TOKENIZER_FOLDER,
        out,
    )
    return out


def with_residual_projection(source: Path, out: Path) -> Path:
    """Write a bundle whose similarities are no weighted sum of channels, so that a gradient is."""
    manifest = read_manifest(source)
    tensors, prompts = (load_file(source / name) for name in (WEIGHTS_NAME, PROMPTS_NAME))
    size = tensors["image_projection.weight"].shape[1]
    kept = {k: v for k, v in tensors.items() if not k.startswith("image_projection.")}
    generator = np.random.default_rng(8)
    for name, shape in projection_shapes("mlp", size, manifest.projection_size).items():
        scale = 1 / np.sqrt(shape[-1]) if len(shape) > 1 else 1.0
        drawn = generator.standard_normal(shape) * scale
        kept[f"image_projection.{name}"] = drawn.astype(np.float32)
    manifest = replace(
        manifest,
        projection="mlp",
        attribution="grad_cam",
        findings=tuple(replace(entry, threshold=0.3) for entry in manifest.findings),
    )
    out.mkdir()
    write_arrays(kept, manifest, prompts, source / TOKENIZER_FOLDER, out)
    return out


def by_commands(bundle: Path, folder: Path) -> tuple[list[Dataset], str]:
    """Analyse the study and make its objects without a node."""
    document, out = folder / "findings.json", folder / "out"
    analyse = ("image", FILM, "--bundle", bundle, "--json-out", document)
    make = ("render", FILM, "--findings", document, "--out", out, "--profile", "ohif")
    for program, command in ((predict, analyse), (node, make)):
        done = CliRunner().invoke(program, list(map(str, command)))
        assert done.exit_code == 0, done.output
    return list(map(pydicom.dcmread, sorted(out.iterdir()))), document.read_text()


def values_under(dataset: Dataset, keyword: str) -> set[str]:
    """Return the code values of every sequence of this keyword, at any depth."""
    found = set()
    for element in dataset.iterall():
        if element.keyword == keyword:
            found |= {item.CodeValue for item in element.value}
    return found


def test_study_has_regions(results: tuple[str, Results]) -> None:
    code, found = results

    methods = {
        finding["method"]
        for image in found.document["images"]
        for finding in image["findings"]
        if finding["regions"]
    }

    assert methods == {{"130401": "factor", "130402": "cam", "130403": "grad_cam"}[code]}


def test_report_names_the_method(results: tuple[str, Results]) -> None:
    code, found = results
    (report,) = found.by_class[SR]

    methods = {
        item.ConceptCodeSequence[0].CodeValue
        for item in contents_of(report)
        if item.ConceptNameCodeSequence[0].CodeValue == "370129005"
    }

    assert methods == {code}
    texts = [item.get("TextValue", "") for item in contents_of(report)]
    assert any(text.endswith(f"region by {METHODS[code]}") for text in texts)


def contents_of(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from contents_of(child)


def test_segmentations_name_the_method(results: tuple[str, Results]) -> None:
    code, found = results

    for segmentation in found.by_class[SEG]:
        assert values_under(segmentation, "AlgorithmNameCodeSequence") == {code}
        for segment in segmentation.SegmentSequence:
            assert segment.SegmentDescription.startswith(f"Region by {METHODS[code]}, score ")
    assert found.by_class[SEG]


def test_pictures_of_regions_name_the_method(results: tuple[str, Results]) -> None:
    code, found = results
    with_region = {
        image["sop_instance_uid"]
        for image in found.document["images"]
        if any(finding["regions"] for finding in image["findings"])
    }

    for picture in found.by_class[SC]:
        shown = picture.SourceImageSequence[0].ReferencedSOPInstanceUID in with_region
        assert values_under(picture, "DerivationCodeSequence") == ({code} if shown else set())
        named = f"Regions by {METHODS[code]}" in picture.DerivationDescription
        assert named == shown
    assert with_region
