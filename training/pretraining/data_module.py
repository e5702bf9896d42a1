"""The sets of one pretraining, image-text and image-label together, as Lightning reads them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import lightning
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from training.data.augmentation import PLAIN, PRESETS, Augmentation, AugmentationPreset
from training.data.breast_records import BreastRecord, read_image_text_table, split_by_fold
from training.data.image_source import image_source, is_picture_folder, names_in_array
from training.data.picture_check import require_usable
from training.errors import SettingsError, TableError
from training.pretraining.batches import Batch, BreastSamples, Collate, ResumableBatches
from training.pretraining.label_records import read_image_label_table, test_patients
from training.pretraining.pretraining_module import Pretraining
from training.pretraining.resumed_settings import (
    Facts,
    data_facts,
    picture_facts,
    require_same,
)
from training.terminal import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTextSet:
    """A published image-text table with its pictures.

    Attributes
    ----------
    images : folder of pictures, or of an array of them
    """

    table: str
    images: str

    def records(self, *, may_be_missing: bool) -> list[BreastRecord]:
        """Read the breasts."""
        return read_image_text_table(Path(self.table))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLabelSet:
    """VinDr-Mammo's finding table with its pictures: texts are written from the labels.

    Attributes
    ----------
    images : folder of pictures, or of an array of them
    """

    table: str
    images: str

    def records(self, *, may_be_missing: bool) -> list[BreastRecord]:
        """Read the breasts of the training part."""
        return read_image_label_table(
            Path(self.table), Path(self.images), may_be_missing=may_be_missing
        )


class BreastSet(Protocol):
    """Breasts with their records and the folder of their pictures."""

    @property
    def images(self) -> str:
        """Return the folder of the pictures."""

    def records(self, *, may_be_missing: bool) -> list[BreastRecord]:
        """Return the breasts; pictures that are missing are named, or else refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """What is read, and how.

    Attributes
    ----------
    image_text : list of ImageTextSet
        Image-text tables with the folders of their pictures, ``[{table: FILE, images: FOLDER}]``.
    image_label : list of ImageLabelSet
        VinDr-Mammo's finding tables with the folders of their pictures, in the same form.
    batch_size : int
        Breasts in a batch, on each device.
    validation_fold : int
        Fold of the tables that is held out for the validation loss.
    excerpt_share : [0, 1]
        How often a text written from labels is cut to a few of its sentences. The paper does not
        do this.
    augmentation : official, paper, none, or Augmentation
        How images are changed in training: official, as the authors' code does; paper, as the
        paper's text says; none; or amounts of one's own, ``{flip: 0.5, affine: 0.0}``.
    skip_unreadable : bool
        Leave out pictures that are missing or damaged, and name them. Default: such pictures end
        the run before its first step.
    workers : int
        Processes that read images ahead; 0 reads in the main process.
    seed : int
        Random seed of order, views, texts and augmentation.
    """

    image_text: list[ImageTextSet] = field(default_factory=list)
    image_label: list[ImageLabelSet] = field(default_factory=list)
    batch_size: int = 4
    validation_fold: int = 0
    excerpt_share: float = 0.0
    augmentation: AugmentationPreset | Augmentation = "paper"
    skip_unreadable: bool = False
    workers: int = 0
    seed: int = 10


class PretrainingData(lightning.LightningDataModule):
    """Reads the sets, joins them, and serves batches in an order that a killed run takes up.

    Parameters
    ----------
    size : (rows, columns) of the model's input
    """

    def __init__(self, settings: DataSettings) -> None:
        super().__init__()
        self.settings = settings
        self._training: list[BreastRecord] = []
        self._validation: list[BreastRecord] = []
        self._sources: dict[str, str] = {}
        self._pictures: Facts = {}

    def sets(self) -> list[BreastSet]:
        """Return the sets that are joined."""
        return [*self.settings.image_text, *self.settings.image_label]

    def setup(self, stage: str) -> None:
        """Read the tables; raises TableError where they cannot be used."""
        sets = self.sets()
        if not sets:
            raise SettingsError(
                "there is no data to learn from: set data.settings.image_text or "
                "data.settings.image_label"
            )
        records: list[BreastRecord] = []
        for item in sets:
            own = item.records(may_be_missing=self.settings.skip_unreadable)
            records.extend(own)
            for name in {name for one in own for names in one.images.values() for name in names}:
                folder = self._sources.setdefault(name, item.images)
                if folder != item.images:
                    raise TableError(
                        f"{name} is in {folder} and in {item.images}: pictures of sets that are "
                        "joined need names of their own"
                    )
        self._require_no_test_patient(records)
        records = self._with_usable_pictures(records)
        self._pictures = picture_facts(
            {
                name: self._sources[name]
                for record in records
                for names in record.images.values()
                for name in names
            }
        )
        self._training, self._validation = split_by_fold(records, self.settings.validation_fold)

    def _require_no_test_patient(self, records: list[BreastRecord]) -> None:
        """Refuse reports of patients that an image-label table keeps for evaluation."""
        learnt = {record.patient_id for record in records}
        for item in self.settings.image_label:
            shared = sorted(learnt & test_patients(Path(item.table)))
            if shared:
                raise TableError(
                    f"{len(shared)} patients of the reports are in the test part of {item.table}, "
                    f"{shared[0]} among them: a model must not be judged by what it was trained "
                    "on; take them out of the table of reports"
                )

    def _with_usable_pictures(self, records: list[BreastRecord]) -> list[BreastRecord]:
        """Leave out what cannot be read, or refuse to begin."""
        paths = {Path(folder) / name: name for name, folder in self._sources.items()}
        arrays = {
            folder: frozenset(names_in_array(Path(folder)))
            for folder in set(self._sources.values())
            if not is_picture_folder(Path(folder))
        }
        in_arrays = {
            Path(folder) / name: "" if name in arrays[folder] else "the array does not hold it"
            for name, folder in self._sources.items()
            if folder in arrays
        }
        unusable = require_usable(
            [path for path, name in paths.items() if self._sources[name] not in arrays],
            known=in_arrays,
            skip=self.settings.skip_unreadable,
            option="--data.settings.skip_unreadable true",
            say=say,
        )
        if not unusable:
            return records
        gone = {paths[path] for path in unusable}
        return [left for record in records if (left := record.without(gone)) is not None]

    def state_dict(self) -> dict[str, Any]:
        """Keep the settings, and what the tables hold, beside the weights."""
        return {"facts": self._facts()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse a checkpoint of other settings or tables; raises SettingsError."""
        require_same(state_dict.get("facts", {}), self._facts())

    @property
    def pictures(self) -> int:
        """Return how many pictures the training part has."""
        return len(
            {
                name
                for record in self._training
                for names in record.images.values()
                for name in names
            }
        )

    def samples(self, module: Pretraining, *, is_training: bool) -> BreastSamples:
        """Return the samples of a part, as its batches hold them."""
        if is_training:
            return self._samples(module, self._training, self._augmentation())
        return self._samples(module, self._validation, PLAIN)

    def _samples(
        self, module: Pretraining, records: list[BreastRecord], augmentation: Augmentation
    ) -> BreastSamples:
        return BreastSamples(
            records,
            _Sources(self._sources, (module.network.rows, module.network.columns)),
            augmentation,
            self.settings.seed,
            excerpt_share=self.settings.excerpt_share,
        )

    def _augmentation(self) -> Augmentation:
        chosen = self.settings.augmentation
        return chosen if isinstance(chosen, Augmentation) else PRESETS[chosen]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches that are left of this epoch."""
        return self._loader(self._training, self._augmentation(), is_shuffled=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches, always the same."""
        return self._loader(self._validation, PLAIN, is_shuffled=False)

    def _facts(self) -> Facts:
        ranks = 1 if self.trainer is None else self.trainer.world_size
        return data_facts(asdict(self.settings), ranks) | self._pictures

    def _loader(
        self, records: list[BreastRecord], augmentation: Augmentation, *, is_shuffled: bool
    ) -> DataLoader[Batch]:
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("no trainer runs")
        module = trainer.lightning_module
        if not isinstance(module, Pretraining):
            raise TypeError(type(module).__name__)
        samples = self._samples(module, records, augmentation)
        batches = ResumableBatches(
            len(records),
            self.settings.batch_size,
            self.settings.seed,
            step=lambda: trainer.global_step,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
            is_shuffled=is_shuffled,
        )
        return DataLoader(
            samples,  # type: ignore[arg-type]
            batch_sampler=batches,
            collate_fn=collate_for(module),
            num_workers=self.settings.workers,
            # Processes that are started anew each epoch would open every table and array again.
            persistent_workers=self.settings.workers > 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
            generator=Generator(),  # its own: the model's random numbers stay as they are
        )


def collate_for(module: Pretraining) -> Collate:
    """Return what joins samples into the batches that a model asks for."""
    return Collate(module.tokenizer, with_sentences=module.local_weight > 0)


class _Sources:
    """Images of several folders by name."""

    def __init__(self, folders: dict[str, str], size: tuple[int, int]) -> None:
        self._folders = folders
        self._open = {folder: image_source(Path(folder), size) for folder in set(folders.values())}

    def __call__(self, name: str) -> Tensor:
        return self._open[self._folders[name]](name)
