"""What every part of the evaluation suite is given."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mammoclip_core.manifest import Manifest
from training.downstream.features import ImageFeatures, image_features
from training.downstream.finetune import Machine
from training.downstream.labelled_images import LabelledImages
from training.downstream.recipes import Recipe, Training, recipe_of
from training.downstream.tasks import DataSet, Task
from training.evaluation.judged_reports import JudgedReports
from training.learning.presets import Preset
from training.measures.intervals import REPEATS
from training.terminal import Say

ALL_PERCENTS = (10, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuiteInput:
    """One model, the data, and how it is judged.

    Attributes
    ----------
    bundle : folder
    sets : tables with their images, by data set
    folders : where images lie
    reports : for retrieval, or None
    out : folder of what is trained on the way
    cache : folder of features, the same for all models
    epochs, learning_rate : in place of the preset's
    percents : of the training part that heads are trained on
    repeats : draws of each bootstrap
    skip_unreadable : bool
        Leave out missing and damaged images; they are refused otherwise.
    say : called with the progress in words
    """

    bundle: Path
    manifest: Manifest
    sets: Mapping[DataSet, LabelledImages]
    folders: tuple[Path, ...]
    reports: JudgedReports | None = None
    out: Path
    cache: Path
    preset: Preset = Preset.PAPER
    epochs: int | None = None
    learning_rate: float | None = None
    percents: tuple[int, ...] = ALL_PERCENTS
    repeats: int = REPEATS
    seed: int = 10
    machine: Machine = field(default_factory=Machine)
    skip_unreadable: bool = False
    say: Say = lambda words: None

    def features(self, data: LabelledImages) -> ImageFeatures:
        """Return the features of all images of a table, computed once."""
        return self.features_of(data.files)

    def features_of(self, files: Sequence[Path]) -> ImageFeatures:
        """Return the features of some images, computed once, by all processes together."""
        return image_features(
            self.bundle,
            files,
            self.cache,
            device=self.machine.device,
            ranks=self.machine.ranks,
        )

    def run_file(self, facts: Mapping[str, str]) -> Path:
        """Return where a training with these facts is kept, for a suite that is run again."""
        text = json.dumps(sorted(facts.items()))
        return self.cache / f"head-{hashlib.sha256(text.encode()).hexdigest()[:16]}.ckpt"

    def recipe(self, task: Task, training: Training) -> Recipe:
        """Return how a head is trained."""
        return recipe_of(
            self.preset,
            task.data,
            training,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
