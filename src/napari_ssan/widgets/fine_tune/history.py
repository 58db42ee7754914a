"""The events of a training run so far, as data for its curves. Knows no Qt.

Curves are thinned to `POINTS` when they are read, not when they are recorded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from napari_ssan.training.events import Compared, Preview, Scores, StepDone, Validated

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

#: A longer curve is reduced to this number of points, each the mean of its steps.
POINTS = 240


class History:
    """The events of a run, step by step.

    A run may go back to an earlier step, after a loss that is not a number or from its
    checkpoint. The steps that it repeats are then forgotten.
    """

    def __init__(self) -> None:
        self.latest: StepDone | None = None
        #: Scores of ``average`` and ``tvl1``.
        self.baselines: Mapping[str, Scores] = {}
        #: In the order of their steps; the first is of the base model.
        self.validations: list[Validated] = []
        self.preview: Preview | None = None
        self._steps: list[int] = []
        self._values: dict[str, list[float]] = {}

    def take(self, event: object) -> None:
        """Record an event, if it has something to draw."""
        if isinstance(event, StepDone):
            self._step(event)
        elif isinstance(event, Validated):
            self.validations = [v for v in self.validations if v.step < event.step]
            self.validations.append(event)
        elif isinstance(event, Compared):
            self.baselines = event.baselines
        elif isinstance(event, Preview):
            self.preview = event

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the curves: terms of the loss, and ``gamma_0`` and so on."""
        return tuple(self._values)

    @property
    def best(self) -> Validated | None:
        """The best validation after the start, by the judgement of the run."""
        best = [v for v in self.validations if v.best and v.step]
        return best[-1] if best else None

    def curve(self, name: str) -> Curve:
        """Steps and values of a curve, (n,) each."""
        steps = np.asarray(self._steps, float)
        values = np.asarray(self._values.get(name, ()), float)
        if not len(values):
            return np.empty(0), np.empty(0)
        if len(steps) <= POINTS:
            return steps, values
        starts = np.linspace(0, len(steps), POINTS, endpoint=False).astype(int)
        counts = np.diff([*starts, len(steps)])
        return (np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts)

    def scores(self, metric: str) -> Curve:
        """Steps, and the scores on the held-out sections after them, (n,) each."""
        known = [(v.step, v.scores[metric]) for v in self.validations if metric in v.scores]
        steps, values = np.array(known, float).reshape(-1, 2).T
        return steps, values

    def _step(self, event: StepDone) -> None:
        kept = bisect_left(self._steps, event.step)
        if kept < len(self._steps):
            del self._steps[kept:]
            for values in self._values.values():
                del values[kept:]
        now = dict(event.losses) | {f"gamma_{n}": value for n, value in enumerate(event.gammas)}
        for name in now.keys() - self._values.keys():
            self._values[name] = [float("nan")] * len(self._steps)
        for name, values in self._values.items():
            values.append(now.get(name, float("nan")))
        self._steps.append(event.step)
        self.latest = event
