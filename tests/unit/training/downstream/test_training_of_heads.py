"""Probes and fine-tunes learn, are chosen by their rules, and answer in a bundle as they did."""

import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mammoclip_core.analysis.engine import ImageToAnalyse, StudyRequest
from mammoclip_core.engines.choice import load_engine
from mammoclip_core.engines.computing_options import EngineName
from mammoclip_core.errors import BundleError
from mammoclip_core.findings import FindingSource
from mammoclip_core.manifest import read_manifest, write_manifest
from training.bundles.bundle_encoder import read_image_encoder
from training.data.augmentation import PLAIN
from training.downstream.bundle_scores import bundle_scores
from training.downstream.cases import Cases, Division, Protocol, divide
from training.downstream.features import image_features
from training.downstream.finetune import fine_tune
from training.downstream.head_training import run_facts
from training.downstream.heads import Plan, save_head
from training.downstream.labelled_images import read_labelled
from training.downstream.new_bundle import with_head
from training.downstream.probe import train_probe
from training.downstream.recipes import Recipe, Training, recipe_of
from training.downstream.tasks import DENSITY, MASS, DataSet
from training.errors import SettingsError, TableError
from training.learning.presets import Preset

RECIPE = Recipe(epochs=3, batch_size=4, learning_rate=1e-3)


def plan(task=MASS, training=Training.PROBE, recipe=RECIPE):
    return Plan(task=task, training=training, protocol=Protocol.HONEST, recipe=recipe)


def cases(labels, images=None):
    count = len(labels)
    return Cases(
        images=np.arange(count) if images is None else images,
        labels=np.asarray(labels),
        patients=np.arange(count).astype(object),
        units=np.arange(count),
    )


@pytest.fixture(scope="module")
def encoder(small_bundle):
    return read_image_encoder(small_bundle)[0]


@pytest.fixture(scope="module")
def own(pictures):
    return read_labelled(pictures / "own.csv", [pictures])


@pytest.fixture(scope="module")
def probe(own, encoder, small_bundle, tmp_path_factory):
    known = image_features(small_bundle, own.files, tmp_path_factory.mktemp("cache"))
    return train_probe(encoder, known.features, divide(own, MASS, Protocol.HONEST), plan())


def test_probe_separates_what_can_be_separated(encoder):
    generator = np.random.default_rng(0)
    labels = (generator.random(300) < 0.2).astype(int)
    features = generator.normal(size=(300, encoder.size)).astype(np.float32) * 0.01
    features[:, 3] += labels
    rows = np.arange(300)
    division = Division(
        training=cases(labels[:200], rows[:200]),
        choice=cases(labels[200:250], rows[200:250]),
        test=cases(labels[250:], rows[250:]),
        positive_weight=4.0,
    )

    head = train_probe(
        encoder, features, division, plan(recipe=replace(RECIPE, epochs=8, learning_rate=1e-2))
    )

    assert MASS.judge(division.test.labels, head.test_scores) > 0.95
    assert head.fitted.losses[-1] < 0.7 * head.fitted.losses[0]


def test_best_epoch_is_kept_and_not_the_last(encoder):
    """What is learnt turns the choice's ranking round: its first epoch is its best."""
    labels = np.tile([0, 1], 40)
    features = np.zeros((160, encoder.size), np.float32)
    features[:80, 0] = labels
    features[80:, 0] = 1 - labels
    division = Division(
        training=cases(labels, np.arange(80)),
        choice=cases(labels, np.arange(80, 160)),
        test=cases(labels, np.arange(80)),
        positive_weight=1.0,
    )

    head = train_probe(encoder, features, division, plan(recipe=replace(RECIPE, epochs=6)))

    assert head.fitted.epoch == 0
    assert len(head.fitted.losses) == 6


def test_density_probe_gives_shares(own, encoder, small_bundle, tmp_path):
    known = image_features(small_bundle, own.files, tmp_path)

    head = train_probe(
        encoder, known.features, divide(own, DENSITY, Protocol.HONEST), plan(DENSITY)
    )

    assert head.test_scores.shape == (8, 4)
    np.testing.assert_allclose(head.test_scores.sum(axis=1), 1)


def test_same_seed_gives_the_same_probe(own, encoder, small_bundle, tmp_path, probe):
    known = image_features(small_bundle, own.files, tmp_path)

    again = train_probe(encoder, known.features, divide(own, MASS, Protocol.HONEST), plan())

    np.testing.assert_array_equal(again.test_scores, probe.test_scores)


def test_nothing_is_learnt_from_one_class(encoder):
    one = cases(np.zeros(6, int))
    division = Division(training=one, choice=one, test=one, positive_weight=6.0)

    with pytest.raises(SettingsError, match="none of the 6 training rows is positive"):
        train_probe(encoder, np.zeros((6, encoder.size), np.float32), division, plan())


def test_features_are_computed_once(own, small_bundle, tmp_path):
    first = image_features(small_bundle, own.files[:3], tmp_path)
    kept = next(tmp_path.glob("*/*.npz"))
    stamp = kept.stat().st_mtime_ns
    kept.write_bytes(kept.read_bytes())
    changed = kept.stat().st_mtime_ns

    again = image_features(small_bundle, own.files[:3], tmp_path)

    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    assert stamp != changed == kept.stat().st_mtime_ns
    assert len(list(tmp_path.glob("*/*.npz"))) == 1
    image_features(small_bundle, own.files[:2], tmp_path)
    assert len(list(tmp_path.glob("*/*.npz"))) == 2


def test_features_are_known_by_what_the_files_hold(own, small_bundle, tmp_path):
    """A picture that another one took the place of, with its size and time, is read again."""
    first, second = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in own.files[:2])
    picture = tmp_path / "one.tiff"
    Image.fromarray(first).save(picture)
    before = image_features(small_bundle, [picture], tmp_path / "cache")
    stamp = picture.stat()
    Image.fromarray(second).save(picture)
    os.utime(picture, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert picture.stat().st_size == stamp.st_size

    after = image_features(small_bundle, [picture], tmp_path / "cache")
    moved = picture.rename(tmp_path / "other.tiff")
    image_features(small_bundle, [moved], tmp_path / "cache")

    assert not np.array_equal(before.features, after.features)
    assert len(list((tmp_path / "cache").glob("*/*.npz"))) == 2


def other_label(folder, bundle):
    table = folder / "own.csv"
    table.write_text(table.read_text().replace("training,1,A", "training,0,A", 1))


def other_patient(folder, bundle):
    table = folder / "own.csv"
    table.write_text(table.read_text().replace("1-L.png,P1", "1-L.png,P0"))


def other_part(folder, bundle):
    table = folder / "own.csv"
    table.write_text(table.read_text().replace("test", "training", 2))


def other_picture(folder, bundle):
    picture = cv2.imread(str(folder / "3-R.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(folder / "3-R.png"), 255 - picture)


def other_preprocessing(folder, bundle):
    manifest = read_manifest(bundle)
    write_manifest(
        replace(manifest, preprocessing=replace(manifest.preprocessing, mean=0.25)), bundle
    )


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (other_label, {"labels, patients or parts"}),
        (other_patient, {"labels, patients or parts"}),
        (other_part, {"labels, patients or parts"}),
        (other_picture, {"pictures"}),
        (other_preprocessing, {"preprocessing"}),
        (lambda folder, bundle: folder.rename(folder.with_name("moved")), set()),
    ],
)
def test_run_is_known_by_pictures_and_what_is_said_of_them(
    pictures, small_bundle, tmp_path, change, differing
):
    def facts(folder):
        table = folder if folder.is_dir() else folder.with_name("moved")
        return run_facts(bundle, read_labelled(table / "own.csv", [table]), plan())

    folder = shutil.copytree(pictures, tmp_path / "own")
    bundle = shutil.copytree(small_bundle, tmp_path / "bundle")
    before = facts(folder)

    change(folder, bundle)
    after = facts(folder)

    assert {name for name, value in after.items() if before[name] != value} == differing


def test_unreadable_images_are_named(own, small_bundle, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no")

    with pytest.raises(TableError, match=r"1 images cannot be read\n.*broken.png"):
        image_features(small_bundle, [own.files[0], broken], tmp_path / "cache")


@pytest.fixture(scope="module")
def tuned(own, small_bundle):
    return fine_tune(
        read_image_encoder(small_bundle)[0],
        own.files,
        read_manifest(small_bundle).preprocessing,
        divide(own, MASS, Protocol.HONEST),
        plan(
            training=Training.FINE_TUNE, recipe=Recipe(epochs=4, batch_size=8, learning_rate=3e-4)
        ),
        augmentation=PLAIN,
    )


def test_fine_tune_learns_in_its_encoder(tuned, encoder):
    before = encoder.backbone.state_dict()["conv_stem.weight"]

    assert not torch.equal(before, tuned.backbone["conv_stem.weight"])
    assert tuned.fitted.losses[3] < tuned.fitted.losses[0]


@pytest.mark.parametrize("which", ["probe", "tuned"])
def test_bundle_answers_as_the_head_did_at_training(which, own, small_bundle, tmp_path, request):
    head = request.getfixturevalue(which)
    file = tmp_path / "mass.pth"
    save_head(head, file)

    manifest = with_head(small_bundle, "mass", file, tmp_path / "bundle")

    entry = manifest.finding("mass")
    assert (entry.source, entry.head, len(entry.prompts)) == (FindingSource.HEAD, "mass", 2)
    shown = [own.files[place] for place in head.division.test.images]
    scores = bundle_scores(tmp_path / "bundle", shown)["mass"]
    # The engine folds BatchNorm into the convolutions, and rounds otherwise.
    np.testing.assert_allclose(scores, head.test_scores[:, 0], rtol=0, atol=1e-4)
    engine = load_engine(tmp_path / "bundle", engine=EngineName.TORCH)
    study = StudyRequest(
        study_instance_uid="1.2",
        images=(ImageToAnalyse(sop_instance_uid=str(shown[0]), path=shown[0]),),
    )
    finding = engine.analyze(study).findings.images[0].findings[0]
    assert (finding.name, finding.score) == ("mass", pytest.approx(scores[0], abs=1e-6))


def test_second_head_takes_the_place_of_the_first(probe, small_bundle, tmp_path):
    save_head(probe, tmp_path / "mass.pth")
    with_head(small_bundle, "mass", tmp_path / "mass.pth", tmp_path / "first")

    manifest = with_head(tmp_path / "first", "mass", tmp_path / "mass.pth", tmp_path / "second")

    assert [head.name for head in manifest.heads] == ["mass"]
    assert [encoder.name for encoder in manifest.encoders] == ["image", "mass"]
    load_engine(tmp_path / "second", engine=EngineName.TORCH)


def test_altered_bundle_gets_no_head(probe, small_bundle, tmp_path):
    save_head(probe, tmp_path / "mass.pth")
    with_head(small_bundle, "mass", tmp_path / "mass.pth", tmp_path / "bundle")
    weights = tmp_path / "bundle" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"1234")

    with pytest.raises(BundleError, match="altered"):
        with_head(tmp_path / "bundle", "mass", tmp_path / "mass.pth", tmp_path / "other")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "mass.pth"]


def test_recipes_are_those_of_their_source():
    assert recipe_of(Preset.README, DataSet.RSNA, Training.PROBE).epochs == 30
    paper = [
        recipe_of(Preset.PAPER, data, training)
        for data in (DataSet.VINDR, DataSet.RSNA)
        for training in Training
    ]
    assert [(item.epochs, item.batch_size) for item in paper] == [(20, 4), (20, 4), (20, 6), (9, 8)]
