"""Usefulness of a synthesized section: whether its membranes lie where the real ones do."""

from __future__ import annotations

from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from napari_ssan.errors import BadInput
from napari_ssan.stack.region import Mask


def dice(a: Mask, b: Mask) -> float:
    """Overlap of two masks: twice the common pixels, divided by the sum of both masks' pixels.

    Parameters
    ----------
    a, b : ndarray of bool, (height, width)
        True on membranes. Their order does not matter.

    Returns
    -------
    float
        0 to 1. It is 1 if both masks are empty, and 0 if only one is.

    Raises
    ------
    BadInput
        If the masks differ in shape.
    """
    _check(a, b)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def f1(a: Mask, b: Mask, tolerance: float = 2) -> float:
    """Boundary F1: agreement of two masks' centre lines, independent of their thickness.

    Both masks are thinned to lines one pixel wide. Precision is the share of line
    pixels of `a` that have a line pixel of `b` within `tolerance`; recall is the share
    of line pixels of `b` that have one of `a`. F1 is their harmonic mean.

    Parameters
    ----------
    a, b : ndarray of bool, (height, width)
        As for :func:`dice`, as are the range of the result and the errors.
    tolerance : float
        Largest Euclidean distance of lines that count as equal, in pixels.
    """
    _check(a, b)
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    lines = skeletonize(a), skeletonize(b)
    precision, recall = (_near(own, there, tolerance) for own, there in (lines, lines[::-1]))
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def recall(found: Mask, truth: Mask, tolerance: float = 2) -> float | None:
    """Share of the true centre lines that were found, 0 to 1; None if there are none.

    Parameters and errors are those of :func:`f1`.
    """
    _check(found, truth)
    if not truth.any():
        return None
    return _near(skeletonize(truth), skeletonize(found), tolerance) if found.any() else 0.0


def _near(own: Mask, there: Mask, tolerance: float) -> float:
    """Share of the pixels of one mask that are near a pixel of the other."""
    return float((distance_transform_edt(~there)[own] <= tolerance).mean())


def _check(a: Mask, b: Mask) -> None:
    if a.shape != b.shape:
        raise BadInput(
            f"Membranes of {a.shape} and {b.shape} pixels cannot be compared; "
            "give labels of the stack's size."
        )
