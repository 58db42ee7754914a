"""What a few sections say about the rest: means and bootstrap intervals.

Sections that were hidden together are one observation: pass their mean to `interval`, not each
of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Resamples of a bootstrap.
RESAMPLES = 10_000
#: Fewer values than this tell nothing of their spread.
FEWEST = 3

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
    from scipy.stats import bootstrap  # with SciPy's statistics, seconds to import

    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=seed
    ).confidence_interval
    return float(found.low), float(found.high)


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
