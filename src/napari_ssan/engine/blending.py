"""Fitting a synthesized patch to the good pixels around it.

Only pixels that are to be fitted, and those around them, are worked with: a fold across a large
section is long, but has few pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg, spsolve

#: Pixels up to which the membrane is solved directly.
DIRECT = 20_000
#: Relative residual at which a larger membrane is good enough: a tenth of a grey value of 8 bits.
RESIDUE = 1e-4

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
#: Numbers of pixels, row after row, in order.
Places = npt.NDArray[np.intp]


def rim_of(unknown: Mask, known: Mask) -> Places:
    """Known pixels that touch an unknown one at a side.

    Parameters
    ----------
    unknown, known : ndarray of bool, (height, width)
        No pixel is both, but some may be neither.

    Returns
    -------
    ndarray of int
        Their places, in order.
    """
    inside = np.flatnonzero(unknown)
    touched = [there[known.ravel()[there]] for _, there in _beside(inside, unknown.shape)]
    return np.unique(np.concatenate(touched))


def membrane(unknown: Mask, rim: Places, values: Float64) -> Float64:
    """Continue values harmonically into unknown pixels (Laplace's equation).

    This is gradient-domain blending: the difference of a patch to the good pixels at its rim,
    continued and added, keeps the patch's gradients. It vanishes within a few pixels where it is
    grain, and levels the whole patch where it is shading.

    Parameters
    ----------
    unknown : ndarray of bool, (height, width)
        Where to solve. At the array's border, and at pixels that are neither unknown nor at the
        rim, the membrane ends free.
    rim : ndarray of int
        From :func:`rim_of`.
    values : ndarray of float64
        Values at the rim.

    Returns
    -------
    ndarray of float64
        Values of the unknown pixels, row after row; zeros where no rim is reached.
    """
    inside = np.flatnonzero(unknown)
    if not len(rim):
        return np.zeros(len(inside))
    matrix, right = _laplace(unknown, inside, rim, values)
    if len(inside) <= DIRECT:
        solved: Float64 = spsolve(matrix.tocsc(), right)
        return solved
    # A coarser membrane is a start from which few iterations are left.
    start = _from_half(unknown, inside, rim, values)
    solved, _ = cg(matrix.tocsr(), right, x0=start, rtol=RESIDUE, maxiter=200)
    return solved


def _beside(inside: Places, shape: tuple[int, ...]) -> Iterator[tuple[Places, Places]]:
    """For each side: which of the pixels have another one there, and its place."""
    rows, columns = np.divmod(inside, shape[1])
    for step, there in (
        (-shape[1], rows > 0),
        (shape[1], rows < shape[0] - 1),
        (-1, columns > 0),
        (1, columns < shape[1] - 1),
    ):
        here = np.flatnonzero(there)
        yield here, inside[here] + step


def _laplace(
    unknown: Mask, inside: Places, rim: Places, values: Float64
) -> tuple[coo_array, Float64]:
    """Laplace's equation for the unknown pixels, four neighbours each."""
    count = len(inside)
    rows, columns = [np.arange(count)], [np.arange(count)]
    diagonal, right = np.zeros((2, count))
    held = np.zeros(count, bool)
    for here, there in _beside(inside, unknown.shape):
        both = unknown.ravel()[there]
        rows.append(here[both])
        columns.append(np.searchsorted(inside, there[both]))
        here, there = here[~both], there[~both]
        at = np.searchsorted(rim, there).clip(max=len(rim) - 1)
        there_is = rim[at] == there
        right[here[there_is]] += values[at[there_is]]
        held[here[there_is]] = True
        diagonal[rows[-1]] += 1
        diagonal[here[there_is]] += 1
    entries = np.concatenate([diagonal, *(np.full(len(each), -1.0) for each in rows[1:])])
    places = np.concatenate(rows), np.concatenate(columns)
    matrix = coo_array((entries, places), shape=(count, count))
    _, parts = connected_components(matrix, directed=False)
    lost = ~np.isin(parts, parts[held])  # nothing says where they lie: at 0
    matrix.data[:count][lost] += 1
    return matrix, right


def _from_half(unknown: Mask, inside: Places, rim: Places, values: Float64) -> Float64:
    """Solve at half resolution, and enlarge: a coarse pixel is known if any of its four is."""
    height, width = unknown.shape
    full = np.pad(unknown, [(0, n % 2) for n in unknown.shape])
    quarters = full.reshape(-(-height // 2), 2, -(-width // 2), 2)
    coarse: Mask = np.logical_or.reduce(quarters, axis=(1, 3))
    rows, columns = np.divmod(rim, width)
    cells, members = np.unique(rows // 2 * coarse.shape[1] + columns // 2, return_inverse=True)
    coarse.ravel()[cells] = False
    means = np.bincount(members, values) / np.bincount(members)
    places = np.concatenate((np.flatnonzero(coarse), cells))
    solved = np.concatenate((membrane(coarse, cells, means), means))
    order = np.argsort(places)
    places, solved = places[order], solved[order]
    # Linear between the middles of coarse pixels; those that are neither solved nor at the rim
    # do not count.
    rows, columns = np.divmod(inside, width)
    total, weights = np.zeros((2, len(inside)))
    for down in (0, 1):
        for right in (0, 1):
            row, column = (
                (n // 2 + side * (2 * (n % 2) - 1)).clip(0, end - 1)
                for n, side, end in zip((rows, columns), (down, right), coarse.shape, strict=True)
            )
            there = row * coarse.shape[1] + column
            at = np.searchsorted(places, there).clip(max=len(places) - 1)
            weight = (0.75, 0.25)[down] * (0.75, 0.25)[right] * (places[at] == there)
            total += weight * solved[at]
            weights += weight
    return total / weights
