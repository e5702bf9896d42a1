"""How long and in which batches a head is trained, by the source that says so."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from training.downstream.tasks import DataSet
from training.learning.presets import Preset


class Training(StrEnum):
    """What of a model is trained."""

    PROBE = "linear probe"
    FINE_TUNE = "fine-tune"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a head is trained; AdamW throughout.

    Attributes
    ----------
    warmup_epochs : in which the learning rate rises linearly
        It then falls by the square of a cosine to 0.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 5e-5
    weight_decay: float = 1e-4
    warmup_epochs: float = 1.0

    def __str__(self) -> str:
        return (
            f"epochs {self.epochs}, batch {self.batch_size}, learning rate {self.learning_rate:g}"
        )


_README: Final = Recipe(epochs=30, batch_size=8)
_VINDR: Final = Recipe(epochs=20, batch_size=4)
_PAPER: Final = {
    (DataSet.VINDR, Training.PROBE): _VINDR,
    (DataSet.VINDR, Training.FINE_TUNE): _VINDR,
    (DataSet.RSNA, Training.PROBE): Recipe(epochs=20, batch_size=6),
    (DataSet.RSNA, Training.FINE_TUNE): Recipe(epochs=9, batch_size=8),
}


def recipe_of(
    preset: Preset,
    data: DataSet,
    training: Training,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> Recipe:
    """Return the recipe for a data set; a table of your own is trained on as VinDr is."""
    recipe = _README if preset is Preset.README else _PAPER.get((data, training), _VINDR)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    return recipe if learning_rate is None else replace(recipe, learning_rate=learning_rate)
