from __future__ import annotations

import numpy as np

from napari_ssan.training.events import Compared, Notice, StepDone, Validated
from napari_ssan.widgets.fine_tune.history import POINTS, History

SCORES = {"psnr": 20.0, "ssim": 0.4}


def step(number, **losses):
    return StepDone(number, 0.1, 10.0, losses, (0.1, 0.2, 0.3), 1e-4)


def test_curves_of_every_term_and_of_the_attention():
    history = History()
    for number in (1, 2, 3):
        history.take(step(number, total=1 / number, pixel=2.0))
    assert set(history.names) == {"total", "pixel", "gamma_0", "gamma_1", "gamma_2"}
    steps, values = history.curve("total")
    assert steps.tolist() == [1, 2, 3]
    assert values.tolist() == [1, 1 / 2, 1 / 3]
    assert history.curve("gamma_1")[1].tolist() == [0.2, 0.2, 0.2]
    assert history.latest is not None
    assert history.latest.step == 3


def test_long_curves_are_means_that_keep_the_level():
    history = History()
    count = 10 * POINTS + 7
    for number in range(1, count + 1):
        history.take(step(number, total=float(number)))
    steps, values = history.curve("total")
    assert len(steps) == POINTS
    assert np.allclose(steps, values)
    assert (np.diff(steps) > 0).all()


def test_a_run_that_goes_back_forgets_what_it_does_again():
    history = History()
    for number in (1, 2, 3, 4):
        history.take(step(number, total=1.0))
    history.take(step(3, total=9.0))
    steps, values = history.curve("total")
    assert steps.tolist() == [1, 2, 3]
    assert values.tolist() == [1, 1, 9]


def test_a_term_that_comes_late_or_goes_leaves_a_gap():
    history = History()
    history.take(step(1, total=1.0))
    history.take(step(2, total=1.0, style=5.0))
    history.take(step(3, total=1.0))
    assert np.array_equal(history.curve("style")[1], [np.nan, 5, np.nan], equal_nan=True)
    assert len(history.curve("style")[0]) == 3


def test_scores_and_what_they_must_beat():
    history = History()
    history.take(Compared({"average": SCORES}))
    history.take(Validated(0, SCORES, False))
    assert history.best is None
    history.take(Validated(5, {"psnr": 21.0, "ssim": 0.5}, True))
    history.take(Validated(9, {"psnr": 20.5, "ssim": 0.45}, False))
    history.take(Notice("nothing to be drawn"))
    steps, values = history.scores("psnr")
    assert steps.tolist() == [0, 5, 9]
    assert values.tolist() == [20, 21, 20.5]
    assert history.best is not None
    assert history.best.step == 5
    assert history.baselines["average"] == SCORES


def test_nothing_yet():
    history = History()
    assert history.names == ()
    assert history.curve("total")[0].size == history.scores("psnr")[0].size == 0
