"""Covers: napari_ssan.session.rates"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.engine.methods import TILING, MemoryFull, make_method
from napari_ssan.events import Progress
from napari_ssan.session import rates as module
from napari_ssan.session.rates import Rates, tile_pixels, tried
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


def test_rates_are_kept_by_model_and_device(user_folder):
    rates = Rates()
    assert rates.of("ssan-realistic", "auto") is None
    assert rates.learn("/some/where/ssan-realistic.safetensors", "auto", 5.0)
    rates.save()
    assert not rates.learn("ssan-realistic", "auto", 5.5)
    assert rates.learn("ssan-realistic", "auto", 9.0)
    again = Rates()
    assert again.of("ssan-realistic", "auto") == 5.0
    assert again.of("ssan-realistic", "cpu") is None
    assert again.of("ssan-fidelity", "auto") is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a on auto": "slow"}', '{"a on auto": -1}'])
def test_damaged_rates_are_measured_anew(user_folder, text):
    folder = user_folder / "napari-ssan"
    folder.mkdir()
    (folder / "rates.json").write_text(text)
    assert Rates().of("a", "auto") is None


def test_pixels_are_those_of_the_tiles_that_a_repair_takes(tiny_model):
    volume = np.random.default_rng(0).integers(1, 250, (10, 300, 400), np.uint8)
    session = RepairSession(SliceStack(volume))
    session.mark([0, 1, 4, 9])  # the first two and the last one are copies
    session.set_missing(6, 2)
    session.add_region(7, Region(20, 30, np.ones((50, 40), bool)))
    session.add_region(7, Region(200, 300, np.ones((30, 60), bool)))
    job = session.claim()
    told = []
    job.run(told.append, threading.Event(), model=tiny_model, device="cpu")
    method = make_method("ssan", tiny_model, "cpu")
    expected = tile_pixels(session.marks, job.revisions, session.stack.shape, method.tiling)
    progress = [event for event in told if isinstance(event, Progress)]
    assert progress[-1].pixels == expected > 0
    assert progress[0].pixels == 0
    assert progress[0].seconds_left is None
    assert progress[-1].seconds_left == 0


def test_only_copies_take_no_pixels():
    marks = Marks({0, 9}, {}, {})
    assert tile_pixels(marks, [(0, 0), (9, 0)], (10, 64, 80), TILING) == 0


def test_a_method_is_tried_with_its_expected_error(monkeypatch):
    method, seen, now = make_method("average", "", "cpu"), [], iter((10.0, 12.0))
    kind = type(method)
    monkeypatch.setattr(kind, "with_error", lambda self, a, b, at: seen.append(a.size))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    assert tried(method) == pytest.approx(2e6 / seen[0])
    assert len(seen) == 2

    def full(*rest):
        raise MemoryFull

    monkeypatch.setattr(kind, "with_error", full)
    assert tried(method) is None
