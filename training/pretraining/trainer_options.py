"""Options of Lightning's trainer that pretraining cannot follow, refused before the first step."""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

from training.errors import SettingsError

_PRECISIONS: Final = ("32-true", "bf16-mixed", "16-mixed")
_OTHER_NAMES: Final = ("32", "bf16", "16")

_NOTHING_TRAINED: Final = "nothing would be trained; give at least 1, or leave it out"
_CLIPPED: Final = "use --model.gradient_clip in its place"

_REFUSED: Final[Mapping[str, tuple[Callable[[float], bool], str]]] = {
    "max_epochs": (lambda value: value == 0, _NOTHING_TRAINED),
    "max_steps": (lambda value: value == 0, _NOTHING_TRAINED),
    "limit_train_batches": (lambda value: value == 0, _NOTHING_TRAINED),
    "check_val_every_n_epoch": (
        lambda value: value < 1,
        "give at least 1; --trainer.limit_val_batches 0 leaves validation out",
    ),
    "val_check_interval": (
        lambda value: value == 0,
        "give a share of an epoch, as 0.5, or batches; --trainer.limit_val_batches 0 leaves "
        "validation out",
    ),
    "log_every_n_steps": (lambda value: value < 0, "give the steps from one log to the next"),
    "num_sanity_val_steps": (lambda value: value < -1, "give 0 for none, or -1 for all"),
    "gradient_clip_val": (lambda value: value != 0, _CLIPPED),
}
"""Numbers that are refused, and what to do."""


def require_usable_options(options: Mapping[str, Any]) -> None:
    """Refuse options of the trainer by which nothing can be trained, or Lightning would break.

    Raises
    ------
    SettingsError
        The message names the option, and what to give in its place.
    """
    for name, (is_refused, instead) in _REFUSED.items():
        value = options.get(name)
        if isinstance(value, int | float) and is_refused(value):
            raise SettingsError(f"--trainer.{name} {value}: {instead}")
    precision = options.get("precision")
    if precision is not None and str(precision) not in {*_PRECISIONS, *_OTHER_NAMES}:
        raise SettingsError(
            f"--trainer.precision {precision}: pretraining computes in {', '.join(_PRECISIONS)}: "
            "choose one of them"
        )


def is_of_lightning(error: Exception) -> bool:
    """Tell whether Lightning itself raised an error, and not what it ran."""
    place: TracebackType | None = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    raised_in = "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))
    return raised_in.partition(".")[0] == "lightning"
