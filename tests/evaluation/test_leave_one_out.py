from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.engine.methods import make_method
from napari_ssan.evaluation.leave_one_out import leave_one_out
from napari_ssan.events import Progress
from napari_ssan.stack.sections import SliceStack


def test_every_section_is_hidden_and_compared():
    base = np.random.default_rng(0).normal(100, 10, (64, 64))
    volume = np.stack([base + 4 * z for z in range(5)])
    method = make_method("average", "", "auto")
    items = list(leave_one_out(SliceStack(volume), [1, 3], method))
    rows = [item for item in items if isinstance(item, dict)]
    assert [row["section"] for row in rows] == [1, 3]
    assert all(row["psnr"] > 60 for row in rows)
    assert [type(item) for item in items] == [Progress, dict] * 2


def test_the_hidden_section_is_not_seen():
    random = np.random.default_rng(0)
    volume = random.integers(0, 255, (3, 48, 48)).astype(np.uint8)
    method = make_method("average", "", "auto")
    *_, row = leave_one_out(SliceStack(volume), [1], method)
    assert row["psnr"] < 12
    assert row["ssim"] == pytest.approx(0, abs=0.1)
