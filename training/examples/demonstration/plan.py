"""How much is done of everything when the demonstration weights are made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.examples.demonstration.look import Look
from training.phantoms.family import Family

SIZE: Final = (760, 456)
WINDOW: Final = (288, 224)
TRAINING_SEED, VALIDATION_SEED, HELD_OUT_SEED = 101, 202, 303
VALIDATION_STUDIES: Final = 150
HELD_OUT_STUDIES: Final = 260


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done of everything.

    Attributes
    ----------
    image_weights : empty for EfficientNet-Lite0's from its package, ``random``, or a file of them
    window_steps, image_steps : batches of dense supervision on windows and on whole images
    epochs : of pretraining, over breasts
    family : of the phantoms
        Of the plain ones, the encoder's blocks stand still in pretraining; of others everything
        learns on, images have other looks, and held-out seeds come from the finished weights.
    """

    folder: Path
    image_weights: str = ""
    studies: int = 1088
    processes: int = 2
    window_steps: int = 750
    image_steps: int = 450
    epochs: int = 6
    validation_studies: int = VALIDATION_STUDIES
    held_out_studies: int = HELD_OUT_STUDIES
    size: tuple[int, int] = SIZE
    window: tuple[int, int] = WINDOW
    window_batch: int = 16
    image_batch: int = 4
    pretraining_batch: int = 16
    family: Family = Family.PLAIN

    def images(self, seed: int) -> Path:
        """Return the folder of a seed's images."""
        return self.folder / f"images-{seed}"

    @property
    def learns_on(self) -> bool:
        """Tell whether the encoder's blocks learn in pretraining too."""
        return self.family is not Family.PLAIN

    @property
    def look(self) -> Look | None:
        """Return how the look of training images is changed."""
        return Look() if self.learns_on else None

    def maps(self, seed: int, name: str) -> Path:
        """Return the folder of a seed's maps by the encoder of a model."""
        return self.folder / (f"maps-{name}-{seed}" if self.learns_on else f"maps-{seed}")

    def studies_of(self, seed: int) -> int:
        """Return how many studies are drawn of a seed."""
        return {
            TRAINING_SEED: self.studies,
            VALIDATION_SEED: self.validation_studies,
        }.get(seed, self.held_out_studies)
