from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from napari_ssan.evaluation.statistics import block_means, interval, mean


def test_an_interval_is_that_of_scipy():
    values = np.random.default_rng(0).normal(3, 1, 25)
    low, high = interval(values, seed=1)
    theirs = bootstrap((values,), np.mean, method="percentile", rng=2).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert low < values.mean() < high


def test_an_interval_is_a_function_of_its_seed():
    values = np.random.default_rng(0).normal(3, 1, 20)
    assert interval(values, 3) == interval(values, 3)
    assert interval(values, 3) != interval(values, 4)


def test_it_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        low, high = interval(random.normal(0, 1, 20), seed)
        hits += low < 0 < high
    assert 0.88 <= hits / 200 <= 0.98


def test_values_alike_leave_no_doubt():
    assert interval([2.0] * 5, 0) == (2.0, 2.0)


def test_few_values_tell_nothing():
    assert interval([1.0, 2.0], 0) is None
    assert interval([], 0) is None


def test_means_pass_over_what_is_not_there():
    assert mean([1.0, None, 3.0]) == 2
    assert mean([None, None]) is None
    assert block_means([1.0, 3.0, None, 5.0, None, None], 2) == [2, 5]
