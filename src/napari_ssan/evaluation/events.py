"""The event that an evaluation reports while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluating:
    """Progress of an evaluation.

    Attributes
    ----------
    share : float
        Share that is done, 0 to 1.
    section : int
        The section that is judged.
    method : str
        The method that synthesizes it.
    seconds_left : float or None
        Estimated time left, in seconds; None until it can be estimated.
    """

    share: float
    section: int
    method: str
    seconds_left: float | None
