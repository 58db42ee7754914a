"""Covers: napari_ssan.widgets.shared.state"""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_ssan.network.model_file import own_folder
from napari_ssan.network.model_library import import_model
from napari_ssan.session.marks import Row
from napari_ssan.widgets.repair import state as module
from napari_ssan.widgets.repair.layer_work import Stopwatch
from napari_ssan.widgets.repair.model_list import model_choices
from napari_ssan.widgets.repair.state import (
    How,
    device_text,
    keyed,
    repair_text,
    slice_megapixels,
    slices_text,
    state_text,
    what_text,
)
from napari_ssan.widgets.shared.state import time_text


@pytest.mark.parametrize(
    ("row", "slices", "what"),
    [
        (Row(((60, 0),), "region", 1, 0.061, "marked"), "60", "region 6.1 %"),
        (Row(((60, 0),), "region", 3, 0.0002, "marked"), "60", "3 regions < 0.1 %"),
        (Row(((72, 0), (73, 0)), "whole", 2, 1.0, "marked"), "72–73", "whole"),
        (
            Row(((8, 0),), "whole", 1, 1.0, "marked", (), "correct", 1),
            "8",
            "correct + region",
        ),
        (Row(((12, 1),), "missing", 2, 1.0, "marked"), "after 12", "2 missing"),
    ],
)
def test_rows_in_words(row, slices, what):
    assert (slices_text(row), what_text(row)) == (slices, what)


@pytest.mark.parametrize(
    ("state", "treatment", "regions", "said"),
    [
        ("synthesized", "synthesize", 0, "synthesized"),
        ("synthesized", "correct", 0, "corrected"),
        ("synthesized", "correct", 1, "synthesized"),  # the region is synthetic
        ("accepted", "correct", 0, "accepted"),
        ("marked", "correct", 0, "marked"),
    ],
)
def test_only_what_has_no_synthetic_pixel_is_called_corrected(state, treatment, regions, said):
    row = Row(((8, 0),), "whole", 1, 1.0, state, (), treatment, regions)
    assert state_text(row) == said


def test_labels():
    assert repair_text(0, False) == "Repair"
    assert repair_text(1, False) == "Repair 1 mark"
    assert repair_text(2, True) == "Queue 2 marks"
    assert keyed("Mark", "W") == "Mark (W)"
    assert keyed("Mark", None) == keyed("Mark", "") == "Mark"
    assert [time_text(s) for s in (None, 0.2, 20.4, 200)] == ["", "1 s", "20 s", "3 min"]


def test_the_device_is_said_without_torch(monkeypatch):
    how = How("ssan", "m", "auto")
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module, "has_nvidia", lambda: False)
    text = device_text(how, (512, 512), 10.0)
    assert text == "Runs on the CPU: no CUDA GPU · ~3 s per slice"
    text = device_text(replace(how, views=8), (512, 512), 10.0)
    assert text == "Runs on the CPU: no CUDA GPU · ~21 s per slice"
    monkeypatch.setattr(module, "has_nvidia", lambda: True)
    assert device_text(how, (512, 512), None) == "Runs on the GPU"
    text = device_text(replace(how, device="cpu"), (512, 512), 10.0)
    assert text == "Runs on the CPU, as chosen · ~3 s per slice"
    text = device_text(replace(how, device="cpu", views=8), (512, 512), 10.0, 3_000_000)
    assert text == "Runs on the CPU, as chosen · ~4 min for what is marked"
    assert "no model" in device_text(How("average", "", "auto"), (512, 512), None)


def test_tiles_overlap_and_so_count_more_than_once():
    how = How("ssan", "", "auto")
    assert slice_megapixels(how, (256, 256)) == pytest.approx(256**2 / 1e6)
    assert slice_megapixels(how, (1024, 1024)) > 1024**2 / 1e6
    often = replace(how, views=8)
    assert slice_megapixels(often, (512, 512)) == 8 * slice_megapixels(how, (512, 512))


def test_the_stopwatch_counts_pixels_in_every_view(monkeypatch):
    now = iter((10.0, 12.0, 15.0))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    watch = Stopwatch(How("ssan", "", "cpu", views=8))
    watch.tick(3_000_000)  # warms up
    assert watch.rate is None
    watch.tick(3_250_000)
    assert watch.rate == 1.0
    watch.tick(3_625_000)  # smaller tiles or larger ones
    assert watch.rate == 1.0


def test_choices_end_with_what_needs_no_model():
    complaints = []
    choices = model_choices(complaints.append)
    assert not complaints
    assert [choice.method for choice in choices[-3:]] == ["average", "copy", "tvl1"]
    assert all(choice.label and choice.tooltip for choice in choices)


def test_own_models_are_offered_and_a_damaged_one_does_not_keep_the_dock_shut(tiny_model):
    import_model(tiny_model, "Cortex A7")
    (own_folder() / "broken.safetensors").write_bytes(b"no model")
    complaints = []
    choices = model_choices(complaints.append)
    assert "Cortex A7" in [choice.label for choice in choices]
    (said,) = complaints
    assert said.startswith("Your model broken is left out")
