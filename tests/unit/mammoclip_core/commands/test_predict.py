import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_factory import (
    pretraining_state,
    tokenizer,
    vocabulary_size,
    write_pretraining,
)
from core_factory import WriteInstance, breast, manifest_with, pair
from cv2 import INTER_AREA, resize
from PIL import Image
from random_bundle import WARNING
from safetensors.torch import load_file
from sample_images import FILM
from typer.testing import CliRunner

from mammoclip_core.analysis.heatmap_files import read_heatmaps
from mammoclip_core.commands.predict import app
from mammoclip_core.findings import FindingSource
from mammoclip_core.findings_document import from_json
from mammoclip_core.images.decoding.dicom_file import read_pixels
from mammoclip_core.images.preprocessing import breast_crop, to_grey
from mammoclip_core.lexicon import DENSITY
from mammoclip_core.manifest import (
    EncoderEntry,
    HeadEntry,
    OperatingPoint,
    write_manifest,
)

Run = Any


def test_document_names_the_image(run: Run, write_instance: WriteInstance) -> None:
    result = run("image", write_instance(breast()), "--json")

    findings = from_json(result.stdout)
    assert result.exit_code == 0
    assert findings.study_instance_uid == "1.2.3.4"
    assert findings.bundle.version.endswith("untrained")
    assert [(image.laterality, image.view_position) for image in findings.images] == [("L", "MLO")]


def test_table_carries_the_warning(run: Run, write_instance: WriteInstance) -> None:
    result = run("image", write_instance(breast()))

    assert WARNING in result.stdout
    assert WARNING in result.stderr


def test_files_hold_the_document_with_its_heatmaps(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    path = write_instance(breast())

    run("image", path, "--json-out", tmp_path / "f.json", "--heatmaps", tmp_path / "maps")

    findings = from_json((tmp_path / "f.json").read_text())
    heatmaps = read_heatmaps(tmp_path / "maps")
    assert {item.sop_instance_uid for item in heatmaps} == {findings.images[0].sop_instance_uid}


def test_folder_is_searched_for_images_of_one_study(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    for seed in range(2):
        write_instance(breast(seed=seed))
    (tmp_path / "notes.txt").write_text("not an image")

    result = run("image", tmp_path, "--json")

    assert len(from_json(result.stdout).images) == 2


def test_several_studies_are_answered_one_table_each(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    for study in ("1.2.1", "1.2.2"):
        write_instance(breast(), StudyInstanceUID=study)

    result = run("image", tmp_path)

    assert result.exit_code == 0
    assert "Study 1: 1.2.1\n" in result.stdout
    assert "Study 2: 1.2.2\n" in result.stdout


def test_several_studies_are_a_list_of_documents(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    for study in ("1.2.1", "1.2.2"):
        write_instance(breast(), StudyInstanceUID=study)

    file = tmp_path / "f.json"
    result = run("image", tmp_path, "--json", "--json-out", file, "--heatmaps", tmp_path / "maps")

    documents = [from_json(json.dumps(one)) for one in json.loads(result.stdout)]
    assert [one.study_instance_uid for one in documents] == ["1.2.1", "1.2.2"]
    assert json.loads(file.read_text()) == json.loads(result.stdout)
    assert sorted(item.name for item in (tmp_path / "maps").iterdir()) == ["study-1", "study-2"]


def test_study_without_an_answer_does_not_stop_the_next(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    write_instance(breast() * 0, StudyInstanceUID="1.2.1")
    write_instance(breast(), StudyInstanceUID="1.2.2")

    result = run("image", tmp_path, "--json")

    assert result.exit_code == 1
    assert "study 1.2.1: no image could be analysed" in result.stderr
    assert [len(one["images"][0]["findings"]) > 0 for one in json.loads(result.stdout)] == [
        False,
        True,
    ]


def test_image_of_another_class_is_analysed_where_it_is_named(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    path = write_instance(breast(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7")

    in_folder, named = run("image", tmp_path, "--json"), run("image", path, "--json")

    assert "1 image of other SOP Classes: name such a file itself" in in_folder.stderr
    assert len(from_json(named.stdout).analysed) == 1


def test_study_can_be_chosen(run: Run, write_instance: WriteInstance, tmp_path: Path) -> None:
    for study in ("1.2.1", "1.2.2"):
        write_instance(breast(), StudyInstanceUID=study)

    result = run("image", tmp_path, "--study", "1.2.2", "--json")

    assert from_json(result.stdout).study_instance_uid == "1.2.2"


def test_image_for_processing_is_remarked(run: Run, write_instance: WriteInstance) -> None:
    path = write_instance(breast(), PresentationIntentType="FOR PROCESSING")

    result = run("image", path, "--json")

    assert "For Processing" in from_json(result.stdout).images[0].reason


def test_study_without_an_answer_is_a_failure(run: Run, write_instance: WriteInstance) -> None:
    result = run("image", write_instance(breast() * 0), "--json")

    assert result.exit_code == 1
    assert from_json(result.stdout).is_partial


def test_bundle_whose_terms_are_not_accepted_is_refused(
    random_bundle: Path, write_instance: WriteInstance
) -> None:
    arguments = ["image", str(write_instance(breast())), "--bundle", str(random_bundle)]

    result = CliRunner().invoke(app, [*arguments, "--accept", "yes"])

    assert result.exit_code == 1
    assert "demonstration use only" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("content", ["not DICOM", ""])
def test_error_is_one_line(run: Run, tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)

    result = run("image", path)

    assert result.exit_code == 1
    warning, error = result.stderr.splitlines()
    assert warning == WARNING
    assert "notes.txt" in error


def test_manifest_is_shown_as_json(run: Run, random_bundle: Path) -> None:
    document = json.loads(run("info", random_bundle, "--json").stdout)

    assert document["warning"] == WARNING
    assert [entry["name"] for entry in document["findings"]] == [
        "mass",
        "suspicious_calcification",
        "malignancy",
        "density",
    ]


def test_manifest_is_shown_as_a_table(run: Run, random_bundle: Path) -> None:
    stdout = run("info", random_bundle).stdout

    assert WARNING in stdout
    assert "SCT|4147007|Mass" in stdout


def test_table_says_who_answers_and_what_was_measured(run: Run, tmp_path: Path) -> None:
    point = OperatingPoint(sensitivity=0.81, specificity=0.92, data="80 phantoms of the test split")
    manifest = manifest_with(
        pair("mass", 0.37, operating_point=point, calibration=(1.0, 0.0)),
        replace(DENSITY, source=FindingSource.HEAD, head="density", classes=4),
        encoders=tuple(
            EncoderEntry(name=name, architecture="tf_efficientnet_b5", padding="published")
            for name in ("image", "density")
        ),
        heads=(HeadEntry(name="density", encoder="density", outputs=4),),
        left_out=("text_encoder.head.norm.weight",),
    )
    write_manifest(manifest, tmp_path)

    rows = run("info", tmp_path).stdout.splitlines()

    mass = " ".join(next(row for row in rows if "99TEST|mass|mass" in row).split())
    for fact in ("no mass / mass", "image", "0.370", "sensitivity 0.810", "Platt", "max"):
        assert fact in mass
    density = next(row for row in rows if "129715009" in row)
    for fact in ("head density", "one of A, B, C, D", "not measured"):
        assert fact in density
    assert any("left out" in row and "head.norm.weight" in row for row in rows)


def test_folder_that_is_no_bundle_is_named(run: Run, tmp_path: Path) -> None:
    result = run("info", tmp_path)

    assert result.exit_code == 1
    assert "is not a bundle" in result.stderr


def test_demonstration_bundle_is_not_written_over_anything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")

    result = run("demonstration-bundle", "--out", tmp_path)

    assert result.exit_code == 1
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]


def test_file_that_cannot_be_embedded_is_named_and_the_others_are_written(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    good, bad = write_instance(breast()), write_instance(breast() * 0)

    result = run("embed", good, bad, "--out", tmp_path / "x.npz")

    assert result.exit_code == 1
    assert str(bad) in result.stderr
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["files"].tolist() == [str(good)]
        assert arrays["features"].shape == (1, 1280)
        assert arrays["embeddings"].shape == (1, 128)


def test_text_is_embedded_as_the_stored_prompts(
    run: Run, random_bundle: Path, tmp_path: Path
) -> None:
    run("text", "no mass", "mass", "--out", tmp_path / "x.npz")

    with np.load(tmp_path / "x.npz") as arrays:
        embeddings = arrays["embeddings"]
    stored = load_file(random_bundle / "prompts.safetensors")["mass"].numpy()
    np.testing.assert_allclose(embeddings, stored, atol=1e-4)


def test_text_without_a_text_encoder_is_refused(run: Run, tmp_path: Path) -> None:
    write_manifest(manifest_with(), tmp_path)

    result = run("text", "mass", "--bundle", tmp_path, "--out", tmp_path / "x.npz")

    assert result.exit_code == 1
    assert "no text encoder" in result.stderr


def test_prepared_picture_has_the_scores_of_its_mammogram(
    run: Run, write_instance: WriteInstance, tmp_path: Path
) -> None:
    path = write_instance(breast(500, 400))
    grey = to_grey(read_pixels(path))
    columns, rows = breast_crop(grey)
    crop = np.ascontiguousarray(grey[rows][:, columns])
    Image.fromarray(resize(crop, (228, 380), interpolation=INTER_AREA)).save(tmp_path / "a.png")

    documents = [
        from_json(run("image", item, "--json").stdout) for item in (path, tmp_path / "a.png")
    ]

    dicom, picture = (
        {item.name: item.score for item in document.images[0].findings} for document in documents
    )
    assert picture == pytest.approx(dicom, abs=1e-4)


@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b.png"]])
def test_pictures_may_be_named_from_the_working_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    (tmp_path / "study").mkdir()
    for name in names:
        Image.fromarray(breast(400, 300)).save(tmp_path / "study" / name)
    monkeypatch.chdir(tmp_path)

    result = run("image", "study", "--json")

    images = from_json(result.stdout).images
    assert [(image.sop_instance_uid, str(image.status)) for image in images] == [
        (f"study/{name}", "analysed") for name in names
    ]
    assert result.exit_code == 0


def test_real_mammogram_has_the_scores_of_its_prepared_picture(run: Run, tmp_path: Path) -> None:
    words = tokenizer(tmp_path / "words")
    checkpoint = write_pretraining(
        tmp_path / "checkpoint.tar", pretraining_state(vocabulary_size(words))
    )
    bundle = tmp_path / "bundle"
    assert run("convert", checkpoint, "--tokenizer", words, "--out", bundle).exit_code == 0
    mammogram = FILM / "LCC.dcm"
    grey = to_grey(read_pixels(mammogram))
    columns, rows = breast_crop(grey)
    crop = np.ascontiguousarray(grey[rows][:, columns])
    picture = tmp_path / "prepared.png"
    Image.fromarray(resize(crop, (114, 190), interpolation=INTER_AREA)).save(picture)

    options = ("--bundle", bundle, "--accept", "CC-BY-NC-SA-4.0 research use", "--json")
    found = [
        from_json(run("image", item, *options).stdout).images[0] for item in (mammogram, picture)
    ]

    scores = [[item.score for item in image.findings] for image in found]
    assert len(scores[0]) == 3
    assert scores[1] == pytest.approx(scores[0], abs=1e-4)
    assert found[1].density_scores == pytest.approx(found[0].density_scores, abs=1e-4)


def test_terms_are_shown_to_who_has_not_accepted_them(
    random_bundle: Path, write_instance: WriteInstance
) -> None:
    arguments = ["image", str(write_instance(breast())), "--bundle", str(random_bundle)]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0
    assert "demonstration use only" in result.stderr
