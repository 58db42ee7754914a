"""Fitting a synthesized patch to the good pixels around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.linalg import cg, spsolve
from skimage.transform import resize

#: Pixels up to which the membrane is solved directly.
DIRECT = 20_000
#: Relative residual at which a larger membrane is good enough: a tenth of a grey value of 8 bits.
RESIDUE = 1e-4

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def fit_to_rim(patch: Float64, surroundings: Float64, good: Mask) -> Float64:
    """Gradient-domain blending: keep the patch's gradients, meet the good pixels at the rim.

    The difference to the good pixels is continued into the patch as a membrane
    (Laplace's equation with these differences as its boundary values) and added;
    it vanishes within a few pixels where it is grain, and levels the whole patch
    where it is shading.

    Parameters
    ----------
    patch, surroundings : ndarray of float64, (height, width)
        Synthesized and real pixels. Of the latter only the good ones count.
    good : ndarray of bool, (height, width)
        Pixels that are neither marked nor otherwise unusable.

    Returns
    -------
    ndarray of float64, (height, width)
        The patch, fitted where pixels are not good, and `surroundings` where they are.
    """
    if not good.any():
        return patch
    return patch + membrane(np.where(good, surroundings - patch, 0.0), ~good)


def membrane(known: Float64, unknown: Mask) -> Float64:
    """Continue values harmonically into unknown pixels.

    Parameters
    ----------
    known : ndarray of float64, (height, width)
        Values where `unknown` is False; some must be.
    unknown : ndarray of bool, (height, width)
        Where to solve. At the array's border the membrane ends free.
    """
    count = int(unknown.sum())
    if count == 0:
        return known
    matrix, right = _laplace(known, unknown)
    result = known.copy()
    if count <= DIRECT:
        result[unknown] = spsolve(matrix.tocsc(), right)
        return result
    # A coarser membrane is a start from which few iterations are left.
    half = tuple(-(-n // 2) for n in unknown.shape)
    coarse_known, coarse_unknown = _halve(known, unknown)
    start = resize(membrane(coarse_known, coarse_unknown), [2 * n for n in half], order=1)
    start = start[: unknown.shape[0], : unknown.shape[1]]
    result[unknown], _ = cg(matrix.tocsr(), right, x0=start[unknown], rtol=RESIDUE, maxiter=200)
    return result


def _laplace(known: Float64, unknown: Mask) -> tuple[coo_array, Float64]:
    """Laplace's equation for the unknown pixels, four neighbours each."""
    count = int(unknown.sum())
    number = np.full(unknown.shape, -1)
    number[unknown] = np.arange(count)
    rows, columns, values = [], [], []
    diagonal, right = np.zeros(count), np.zeros(count)
    for axis in (0, 1):
        first = [slice(None), slice(None)]
        second = [slice(None), slice(None)]
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        for a, b in ((tuple(first), tuple(second)), (tuple(second), tuple(first))):
            here, there = number[a], number[b]
            inside = here >= 0
            diagonal[here[inside]] += 1
            both = inside & (there >= 0)
            rows.append(here[both])
            columns.append(there[both])
            values.append(np.full(int(both.sum()), -1.0))
            edge = inside & (there < 0)
            right[here[edge]] += known[b][edge]
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    values.append(diagonal)
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return coo_array(entries, shape=(count, count)), right


def _halve(known: Float64, unknown: Mask) -> tuple[Float64, Mask]:
    """The problem at half resolution: a coarse pixel is known if any of its four is."""
    pad = [(0, n % 2) for n in unknown.shape]
    weight = np.pad((~unknown).astype(float), pad)
    value = np.pad(np.where(unknown, 0.0, known), pad)
    height, width = (n // 2 for n in weight.shape)
    total = weight.reshape(height, 2, width, 2).sum((1, 3))
    mean = value.reshape(height, 2, width, 2).sum((1, 3)) / np.maximum(total, 1)
    return mean, total == 0
