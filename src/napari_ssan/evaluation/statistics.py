"""What a few sections say of the rest: means, paired differences, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Resamples of a bootstrap.
RESAMPLES = 10_000
#: Fewer values than this tell nothing of their spread.
FEWEST = 3
#: Share of the resamples that an interval holds.
SHARE = 0.95

Interval = tuple[float, float]


def interval(values: Sequence[float], seed: int) -> Interval | None:
    """Bootstrap interval of the mean: 95 %, by percentiles.

    Parameters
    ----------
    values : sequence of float
        One for each independent observation.
    seed : int
        The interval is a function of it.

    Returns
    -------
    (float, float) or None
        None for fewer than three values, which tell nothing of their spread.
    """
    if len(values) < FEWEST:
        return None
    random = np.random.default_rng(seed)
    picks = random.integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values, np.float64)[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there; None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def block_means(values: Sequence[float | None], size: int) -> list[float]:
    """Mean of each `size` adjacent values, which were hidden together and belong together.

    Blocks without a value are left out.
    """
    means = [mean(values[start : start + size]) for start in range(0, len(values), size)]
    return [value for value in means if value is not None]
