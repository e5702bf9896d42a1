"""Whether more of a scanner's studies than few are not meant for the model."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from dicom_node.monitoring.alarms import FALSE_ALARMS, Kind
from dicom_node.monitoring.proportion_chart import ProportionChart
from dicom_node.monitoring.windows import WINDOW

MOST_OUTSIDE: Final = 0.01
"""Share of studies outside of the inclusion criteria that is no alarm."""

_ODDS_RATIO: Final = 2.5
_AS_SURE_AS_OF: Final = 1_000_000
"""Studies that the share stands for: it is no estimate."""

_YEARLY: Final = 20_000
"""More studies than a scanner does in a year: with fewer, there are fewer false alarms."""


def _chart() -> ProportionChart:
    return ProportionChart(
        count=round(MOST_OUTSIDE * _AS_SURE_AS_OF),
        of=_AS_SURE_AS_OF,
        odds_ratio=_ODDS_RATIO,
        false_alarms=FALSE_ALARMS[Kind.ROUTING] / _YEARLY,
    )


@dataclass(slots=True)
class CriteriaWatch:
    """Counts the studies of one scanner that are not meant for the model.

    A share, not a number of a week: of 200 studies three are outside by chance every few weeks
    where one in a hundred is. No reference is needed, so that it counts from the first study on.
    """

    chart: ProportionChart = field(default_factory=_chart)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, outside: str) -> str:
        """Enter a study; return in words that there are too many, or nothing.

        Parameters
        ----------
        outside : why it is not meant for the model; empty if it is
        """
        self.recent.append(outside)
        if not self.chart.add(bool(outside)):
            return ""
        reasons = Counter(filter(None, self.recent))
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        return (
            f"{reasons.total()} of the last {len(self.recent)} studies are not meant for the "
            f"model, more than 1 in 100 beyond chance: {told}"
        )
