"""Pretraining of the demonstration: on phantoms, from maps of the encoder's blocks."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from training.data.augmentation import Augmentation
from training.data.breast_records import BreastRecord
from training.examples.demonstration.look import LookAugmentation
from training.examples.demonstration.phantom_records import phantom_records
from training.learning.losses import SupervisionWeights
from training.phantoms.family import Family
from training.pretraining.data_module import BreastSet, DataSettings, PretrainingData
from training.pretraining.network import NetworkSettings
from training.pretraining.pretraining_module import Pretraining

CONFIGURATION: Final = Path(__file__).with_name("pretraining.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSet:
    """Phantom patients of one seed: an image-label set.

    Attributes
    ----------
    images : folder that `prepare_phantoms` made, or of maps that `write_block_maps` made of it
    studies : patients 0 to this number less one
    fold : all of them are put into it; None for their own
    look : number of the look that the maps were made in
    """

    seed: int
    studies: int
    images: str
    fold: int | None = None
    family: str = Family.PLAIN.value
    look: int = 0

    def records(self, *, may_be_missing: bool = False) -> list[BreastRecord]:
        """Draw the labels; the maps lie in the folder."""
        family = Family(self.family)
        records = phantom_records(self.seed, self.studies, family=family, look=self.look)
        if self.fold is None:
            return records
        return [replace(record, fold=self.fold) for record in records]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomDataSettings(DataSettings):
    """What pretraining reads, and phantoms.

    Attributes
    ----------
    other_looks : bool
        Images are mirrored, and shown with other noise, blur and tone.
    """

    phantoms: list[PhantomSet] = field(default_factory=list)
    other_looks: bool = False


class PhantomData(PretrainingData):
    """Serves phantoms beside the sets of pretraining."""

    def __init__(self, settings: PhantomDataSettings) -> None:
        super().__init__(settings)
        self._phantoms = settings.phantoms
        self._has_other_looks = settings.other_looks

    def sets(self) -> list[BreastSet]:
        """Return the sets that are joined."""
        return [*super().sets(), *self._phantoms]

    def _augmentation(self) -> Augmentation:
        return LookAugmentation() if self._has_other_looks else super()._augmentation()


class BlockMapPretraining(Pretraining):
    """Pretraining on what lies behind the encoder's last block.

    The blocks stand still, so that their work is done once; the last convolution learns.
    """

    def __init__(
        self, network: NetworkSettings, weights: SupervisionWeights | None = None, **settings: Any
    ) -> None:
        super().__init__(network, weights, **settings)
        backbone = self.model.image_encoder.backbone
        for part in (backbone.conv_stem, backbone.bn1, backbone.blocks):
            part.requires_grad_(requires_grad=False)

    def feature_map(self, images: Tensor) -> Tensor:
        """Compute the feature maps, (B, C, H, W), of maps behind the last block."""
        return self.model.image_encoder.from_blocks(images)
