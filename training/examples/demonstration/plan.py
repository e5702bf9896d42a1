"""How much is done of everything when the demonstration weights are made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.examples.demonstration.dense_samples import DenseSampleSettings
from training.examples.demonstration.look import Look
from training.phantoms.family import Family

SIZE: Final = (760, 456)
WINDOW: Final = (288, 224)
GOING_ON_WINDOW: Final = (160, 192)
"""Of an encoder that knows lesions already: more of them in the same time."""

GOING_ON_WINDOW_STEPS: Final = 2800
GOING_ON_IMAGE_STEPS: Final = 300
GOING_ON_LOOKS: Final = 1
STUDIES: Final = 1088
GOING_ON_STUDIES: Final = 2600
GOING_ON_SEED: Final = 102
"""Of patients that the encoder which goes on has not learned from: more steps on known ones gave it
little."""

GOING_ON_PRETRAINING_STUDIES: Final = 1300
"""Half of them: what stands behind the encoder's blocks is small, and maps take their time."""

TRAINING_SEED, VALIDATION_SEED, HELD_OUT_SEED = 101, 202, 303
CHOICE_SEEDS: Final = (203, 204, 205)
"""Seeds by which a finding is localised by what points better on them."""

VALIDATION_STUDIES: Final = 150
CHOICE_STUDIES: Final = 60
HELD_OUT_STUDIES: Final = 260


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is done of everything.

    Attributes
    ----------
    image_weights : empty for EfficientNet-Lite0's from its package, ``random``, or a file of them
        A bundle's folder, too: its encoder learns on, with the statistics that it has.
    window_steps, image_steps : batches of dense supervision on windows and on whole images
    epochs : of pretraining, over breasts
    pretraining_studies : whose maps pretraining learns from, the first ones; 0 for all
    family : of the phantoms
        Of others than the plain ones, images have other looks, and held-out seeds come from the
        finished weights.
    learns_on : bool
        The encoder's blocks learn in pretraining too, from images; else they stand still, and it
        learns from their maps.
    looks : in how many looks each image's map is made, where looks are changed
    has_twin : bool
        A second model learns from single views alone, and the card tells of both.
    """

    folder: Path
    image_weights: str = ""
    studies: int = STUDIES
    processes: int = 2
    window_steps: int = 750
    image_steps: int = 450
    epochs: int = 6
    pretraining_studies: int = 0
    validation_studies: int = VALIDATION_STUDIES
    choice_studies: int = CHOICE_STUDIES
    held_out_studies: int = HELD_OUT_STUDIES
    size: tuple[int, int] = SIZE
    window: tuple[int, int] = WINDOW
    window_batch: int = 16
    image_batch: int = 4
    pretraining_batch: int = 16
    family: Family = Family.PLAIN
    learns_on: bool = False
    looks: int = 2
    has_twin: bool = False

    def images(self, seed: int) -> Path:
        """Return the folder of a seed's images."""
        return self.folder / f"images-{seed}"

    @property
    def is_plain(self) -> bool:
        """Tell whether all images have one look."""
        return self.family is Family.PLAIN

    @property
    def training_seed(self) -> int:
        """Return the seed of the patients that are learned from."""
        return TRAINING_SEED if self.is_plain else GOING_ON_SEED

    @property
    def look(self) -> Look | None:
        """Return how the look of training images is changed."""
        return None if self.is_plain else Look()

    def samples(self, size: tuple[int, int], *, repeats: int = 2) -> DenseSampleSettings:
        """Return what dense supervision shows, in parts of some size."""
        return DenseSampleSettings(
            images=str(self.images(self.training_seed)),
            rows=size[0],
            columns=size[1],
            repeats=repeats,
            look=self.look,
            lesion_share=1.0 if self.is_plain else 0.75,
            busy_share=0.0 if self.is_plain else 0.7,
        )

    def maps(self, seed: int, name: str = "") -> Path:
        """Return the folder of a seed's maps, by the encoder of a model or in a look."""
        return self.folder / (f"maps-{name}-{seed}" if name else f"maps-{seed}")

    def looks_of(self, seed: int) -> tuple[Path, ...]:
        """Return the folders of the maps of a seed's images that an encoder learns from."""
        if self.is_plain:
            return (self.maps(seed),)
        count = self.looks if seed == self.training_seed else 1
        return tuple(self.maps(seed, f"look-{number}") for number in range(count))

    def mapped_studies(self, seed: int) -> int:
        """Return how many studies of a seed pretraining learns from, or is judged by."""
        drawn = self.studies_of(seed)
        is_part = seed == self.training_seed and self.pretraining_studies and not self.learns_on
        return min(drawn, self.pretraining_studies) if is_part else drawn

    def studies_of(self, seed: int) -> int:
        """Return how many studies are drawn of a seed."""
        return {
            self.training_seed: self.studies,
            VALIDATION_SEED: self.validation_studies,
            **dict.fromkeys(CHOICE_SEEDS, self.choice_studies),
        }.get(seed, self.held_out_studies)
