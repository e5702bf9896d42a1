"""Whether the pixels of a scanner's images are as they were: each number against its own past."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType
from typing import Final

from dicom_node.monitoring.windows import WINDOW, WindowedComparison

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "breast_share": "share of the image that the breast covers",
        "mean_grey": "mean grey of the breast",
        "noise": "noise in the breast",
    }
)
"""What is measured (`mammoclip_core.images.pixel_statistics`), by the name it is noted under."""


@dataclass(slots=True)
class PixelWatch:
    """Takes what was measured of each study's images, and tells how it differs from the first.

    It has a reference of its own: the first studies of which it was measured. What another bundle
    makes of the images does not change it.

    Parameters
    ----------
    reference : studies that later ones are compared with
    """

    reference: int
    _kept: dict[str, list[float]] = field(default_factory=dict)
    _compared: dict[str, WindowedComparison] = field(default_factory=dict)

    def add(self, pixels: Mapping[str, float], *, false_alarms: float) -> Iterator[tuple[str, str]]:
        """Enter a study; yield the name of what differs, and how in words.

        Parameters
        ----------
        false_alarms : a study, of all numbers together
        """
        for name, value in pixels.items():
            if name not in WORDS:
                continue
            comparison = self._compared.get(name)
            if comparison is None:
                kept = self._kept.setdefault(name, [])
                kept.append(value)
                if len(kept) >= self.reference:
                    # Each window is a look, at which all of the numbers are looked at.
                    probability = WINDOW * false_alarms / len(WORDS)
                    self._compared[name] = WindowedComparison(kept, probability, by_index=False)
                continue
            latest = [*comparison.window, value]
            if words := comparison.add(value):
                before, now = median(comparison.reference), median(latest)
                yield name, f"{WORDS[name]}: {before:.3g} before, {now:.3g} now; {words}"

    def restart(self) -> None:
        """Take what comes from now on for the reference."""
        self._kept, self._compared = {}, {}
