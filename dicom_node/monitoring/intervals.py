"""Intervals of shares and of counts, in closed form."""

import math
from typing import Final

Z_95: Final = 1.959964
"""Two-sided 95 % of the normal distribution."""

Interval = tuple[float, float]


def wilson(count: int, of: int, z: float = Z_95) -> Interval:
    """Return Wilson's interval of a share (E. B. Wilson, JASA 22, 1927).

    ``(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`` with ``p = count / n``.
    """
    if of <= 0:
        return 0.0, 1.0
    share = count / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


def poisson_rate(count: int, exposure: float, z: float = Z_95) -> Interval:
    """Return Byar's interval of a rate (Breslow and Day, IARC 82, 1987, formula 2.13).

    ``lower = k (1 - 1/9k - z/3√k)³``, ``upper = (k+1) (1 - 1/9(k+1) + z/3√(k+1))³``, each over
    the exposure.
    """
    upper = count + 1
    high = upper * (1 - 1 / (9 * upper) + z / (3 * math.sqrt(upper))) ** 3
    low = 0.0
    if count:
        low = count * (1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3
    return max(low, 0.0) / exposure, high / exposure
