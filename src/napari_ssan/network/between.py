"""Models between the two bundled ones, from faithful to natural texture.

``ssan-natural-40`` lies 40 % of the way from ssan-fidelity to ssan-realistic: each weight is a mean
of both. It is no file, but has a name, a card and a digest, as files do. Easy to get wrong: the
second was trained from the first; means of weights of unrelated networks are useless.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[Any]]

#: The two ends: 0 % and 100 %.
FAITHFUL, NATURAL = "ssan-fidelity", "ssan-realistic"
_NAME = re.compile(r"ssan-natural-([1-9]\d?)")


def percent_of(name: str) -> int | None:
    """How natural a bundled model or one between them is, 0 to 100; None for other models."""
    if name in (FAITHFUL, NATURAL):
        return 0 if name == FAITHFUL else 100
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def name_of(percent: int) -> str:
    """Name of the model that is so natural, 0 to 100."""
    return {0: FAITHFUL, 100: NATURAL}.get(percent, f"ssan-natural-{percent}")


def weights_between(first: Weights, last: Weights, percent: int) -> Weights:
    """Weighted mean of two sets of weights with the same names, shapes and dtypes.

    Parameters
    ----------
    first, last : dict of str to ndarray
    percent : int
        Share of `last`, 0 to 100. Whole numbers, which count batches, are those of `first`.
    """
    share = np.float32(percent / 100)
    return {
        key: np.asarray(value + share * (last[key] - value), value.dtype)
        if value.dtype.kind == "f"
        else value
        for key, value in first.items()
    }


def card_between(last: dict[str, Any], percent: int) -> dict[str, Any]:
    """The card of a model between the two, from that of the natural one."""
    kept: dict[str, Any] = {
        key: last[key] for key in ("tile", "loss", "match", "terms", "data") if key in last
    }
    summary = f"{percent} % of the way from {FAITHFUL} to {NATURAL}, by the mean of their weights."
    return {**kept, "summary": summary, "between": [FAITHFUL, NATURAL, percent]}
