"""Values of the last answers against those of the reference, a window of 200 after the other.

Each window is compared once, so that N studies a year are N/200 comparisons. At most b false
alarms a year leave each a probability of ``200 b / N``: for 10 400 studies and 0.03, 5.8e-4.
"""

from dataclasses import dataclass, field
from typing import Final

from dicom_node.monitoring.distribution import (
    PSI_LIMIT,
    PSI_REFERENCE,
    ks_distance,
    ks_p_value,
    stability_index,
)

WINDOW: Final = 200
"""Answers of a window."""


@dataclass(slots=True)
class WindowedComparison:
    """Compares windows of values with a reference.

    Parameters
    ----------
    reference : values
    probability : of a false alarm in one window
    by_index : look at the population stability index as well, as is the custom for scores
    """

    reference: list[float]
    probability: float
    by_index: bool = True
    window: list[float] = field(default_factory=list)

    def add(self, value: float) -> str:
        """Enter a value; return in words how a full window differs, or nothing."""
        self.window.append(value)
        if len(self.window) < WINDOW:
            return ""
        values, self.window = self.window, []
        return self.difference(values)

    def differs(self, values: list[float]) -> bool:
        """Return whether values are not distributed as the reference is."""
        return bool(self.difference(values))

    def difference(self, values: list[float]) -> str:
        """Return in words how values differ from the reference; empty if they do not."""
        chance = ks_p_value(self.reference, values)
        if chance < self.probability:
            distance = ks_distance(self.reference, values)
            return (
                f"the last {len(values)} differ from the reference of {len(self.reference)}: "
                f"Kolmogorov-Smirnov distance {distance:.2f}, p = {chance:.1g}"
            )
        if self.by_index and len(self.reference) >= PSI_REFERENCE:
            index = stability_index(self.reference, values)
            if index > PSI_LIMIT:
                return f"the last {len(values)} differ from the reference: PSI {index:.2f}"
        return ""
