"""What an evaluation says while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluating:
    """How far an evaluation is.

    Attributes
    ----------
    share : float
        0 to 1.
    section : int
        Which section is judged.
    method : str
        By which method it is synthesized.
    seconds_left : float or None
        Estimate; None until there is something to estimate from.
    """

    share: float
    section: int
    method: str
    seconds_left: float | None
