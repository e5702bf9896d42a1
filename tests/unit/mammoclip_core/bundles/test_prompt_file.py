"""Prompts of one's own: read from a file, asked of a bundle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core_factory import WriteInstance, breast
from typer.testing import CliRunner

from mammoclip_core.analysis.study_files import request_from
from mammoclip_core.bundles.prompt_file import PromptSet, read_prompt_file
from mammoclip_core.commands.predict import app
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.engines.embeddings import embed_texts, load_text_model
from mammoclip_core.engines.prompted_engine import load_prompted_engine, prompt_embeddings
from mammoclip_core.errors import PromptFileError
from mammoclip_core.findings import StudyFindings
from mammoclip_core.findings_document import from_json

TOML = """
scoring = "tempered"

[findings.mass]
negative = "no mass"
positive = ["mass", "a mass"]
threshold = 0.6

[findings.shape.classes]
round = "round mass"
oval = ["oval mass", "an oval mass"]
irregular = "irregular mass"
"""


def written(folder: Path, content: Any, name: str = "prompts.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def asked(bundle: Path, prompts: PromptSet, path: Path) -> StudyFindings:
    return load_prompted_engine(bundle, prompts).analyze(request_from([path])).findings


def test_pairs_ensembles_and_class_sets_are_read(tmp_path: Path) -> None:
    prompts = read_prompt_file(written(tmp_path, TOML, "prompts.toml"))

    mass, shape = prompts.findings
    assert prompts.scoring == "tempered"
    assert (mass.ensembles, mass.threshold) == ((("no mass",), ("mass", "a mass")), 0.6)
    assert mass.code == "SCT|4147007|Mass"
    assert shape.labels == ("round", "oval", "irregular")


def test_short_form_is_a_pair(tmp_path: Path) -> None:
    (entry,) = read_prompt_file(written(tmp_path, {"mass": ["no mass", "mass"]})).findings

    assert (entry.prompts, entry.is_class_set) == (("no mass", "mass"), False)


def test_short_form_of_more_texts_is_a_class_set(tmp_path: Path) -> None:
    (entry,) = read_prompt_file(written(tmp_path, {"shape": ["round", "oval", "odd"]})).findings

    assert (entry.labels, entry.is_class_set) == (("1", "2", "3"), True)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "neither JSON nor TOML"),
        ([], "no prompt file"),
        ({"findings": {}}, "names no finding"),
        ({"findings": {"mass": {"negative": "no mass"}}}, "positive"),
        ({"findings": {"mass": {"negative": "a", "positive": "b", "odd": 1}}}, "mass: unknown odd"),
        ({"findings": {"a": ["b", "c"]}, "scoring": "other"}, "scoring 'other'"),
        ({"findings": {"a": ["b", "c"]}, "more": 1}, "unknown more"),
        ({"mass": ["mass"]}, "a pair needs"),
        ({"mass": ["no mass", 3]}, "a text or a list of texts"),
        ({"mass": ["no mass", " "]}, "a text or a list of texts"),
        ({"findings": {"a": {"classes": {"x": "1", "y": "2"}}}}, "at least 3"),
        ({"findings": {"a": {"negative": "b", "positive": "c", "threshold": 2}}}, "outside"),
        ({"a": [["b"] * 1001, "c"]}, "more than 1000 texts"),
    ],
)
def test_file_of_another_form_is_refused(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(PromptFileError, match=complaint):
        read_prompt_file(written(tmp_path, content))


def test_own_pair_has_the_bundles_score(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    prompts = read_prompt_file(written(tmp_path, {"mass": ["no mass", "mass"]}))
    path = write_instance(breast())

    (image,) = asked(random_bundle, prompts, path).images

    known = (
        load_engine(random_bundle, engine=EngineName.TORCH)
        .analyze(request_from([path]))
        .findings.images[0]
    )
    assert [item.name for item in image.findings] == ["mass"]
    assert image.findings[0].prompts == ("no mass", "mass")
    assert image.findings[0].score == pytest.approx(known.findings[0].score, abs=1e-4)


def test_tempered_score_uses_the_models_temperature(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    path = write_instance(breast())
    pair = {"mass": ["no mass", "mass"]}
    scores = [
        asked(
            random_bundle,
            read_prompt_file(written(tmp_path, {"findings": pair, "scoring": scoring})),
            path,
        )
        .images[0]
        .findings[0]
        .score
        for scoring in ("published", "tempered")
    ]

    plain, tempered = (np.log(score / (1 - score)) for score in scores)
    assert tempered == pytest.approx(plain * np.e, abs=1e-4)


def test_ensemble_is_the_mean_direction(random_bundle: Path, tmp_path: Path) -> None:
    content = {"mass": [["no mass"], ["mass", "malignancy"]]}
    model = load_text_model(random_bundle)
    prompts = read_prompt_file(written(tmp_path, content))

    rows = prompt_embeddings(model, prompts.findings)["mass"]

    mean = embed_texts(model, ["mass", "malignancy"]).mean(axis=0)
    np.testing.assert_allclose(rows[1], mean / np.linalg.norm(mean), rtol=1e-6)


def test_class_of_the_highest_share_is_above_its_threshold(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    path = written(tmp_path, TOML, "prompts.toml")
    environment = {"MAMMOCLIP_BUNDLE": str(random_bundle)}
    arguments = ["image", str(write_instance(breast())), "--prompts", str(path), "--json"]

    result = CliRunner().invoke(app, arguments, env=environment)

    classes = from_json(result.stdout).images[0].findings[1:]
    assert [item.name for item in classes] == ["shape.round", "shape.oval", "shape.irregular"]
    assert sum(item.score for item in classes) == pytest.approx(1)
    (highest,) = [item for item in classes if item.above_threshold]
    assert highest.score == max(item.score for item in classes)


def test_class_that_the_file_calls_negative_is_no_finding(
    random_bundle: Path, write_instance: WriteInstance, tmp_path: Path
) -> None:
    classes = {"unauffällig": "normal", "fettig": "fat", "rund": "mass"}
    image = write_instance(breast())

    above = {}
    for name in classes:
        value = {"classes": classes, "negative_classes": [name]}
        path = written(tmp_path, {"findings": {"befund": value}})
        arguments = ["image", str(image), "--prompts", str(path), "--json"]
        environment = {"MAMMOCLIP_BUNDLE": str(random_bundle)}
        document = from_json(CliRunner().invoke(app, arguments, env=environment).stdout)
        found = document.images[0].findings
        above[name] = [item.name for item in found if item.above_threshold]
        assert {item.class_of for item in found} == {"befund"}
        highest = max(found, key=lambda item: item.score).name

    assert above.pop(highest.partition(".")[2]) == []
    assert set(map(tuple, above.values())) == {(highest,)}


def test_negative_class_that_is_no_class_is_refused(tmp_path: Path) -> None:
    value = {"classes": {"a": "x", "b": "y", "c": "z"}, "negative_classes": ["d"]}

    with pytest.raises(PromptFileError, match="negative labels"):
        read_prompt_file(written(tmp_path, {"findings": {"befund": value}}))
