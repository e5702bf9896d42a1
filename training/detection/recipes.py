"""How a detector is trained and judged, by the source that says so."""

from dataclasses import dataclass, replace
from typing import Final

from training.learning.presets import Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecipe:
    """One recipe; Adam throughout.

    Attributes
    ----------
    gradient_norm : that gradients are clipped to
    alpha, gamma : of the focal loss
    score_cut : boxes that score less are not judged
    """

    epochs: int = 120
    batch_size: int = 7
    learning_rate: float = 5e-5
    gradient_norm: float = 0.1
    alpha: float
    gamma: float = 2.0
    score_cut: float

    def __str__(self) -> str:
        return (
            f"epochs {self.epochs}, batch {self.batch_size}, learning rate {self.learning_rate:g},"
            f" focal alpha {self.alpha:g}, score cut {self.score_cut:g}"
        )


_RECIPES: Final = {
    Preset.PAPER: DetectionRecipe(alpha=0.6, score_cut=0.05),
    Preset.README: DetectionRecipe(alpha=0.25, score_cut=0.2),
}


def detection_recipe(
    preset: Preset,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
) -> DetectionRecipe:
    """Return a preset's recipe, with the values that are given in place of its own."""
    recipe = _RECIPES[preset]
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
    )
