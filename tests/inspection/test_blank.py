from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.errors import Cancelled
from napari_ssan.inspection.blank import blank_marks
from napari_ssan.stack.sections import SliceStack


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_blank_sections_are_found(volume, dtype):
    stack = volume.astype(dtype)
    stack[3] = 0
    stack[6] = 200
    expected = {3, 6}
    if dtype == "float32":
        stack[7] = np.nan
        stack[8] = 5
        stack[8, :20] = np.inf
        expected |= {7, 8}
    seen = []
    found = blank_marks(SliceStack(stack), seen.append, threading.Event())
    assert (found.whole, found.regions) == (expected, {})
    assert (seen[-1].done, seen[-1].total) == (9, 9)


def test_patches_without_values_are_regions_and_the_rest_of_the_section_is_kept(volume):
    stack = volume.astype("float32")
    stack[3, 5:15, 4:30] = np.nan
    stack[3, 30, 20] = np.inf
    found = blank_marks(SliceStack(stack), lambda event: None, threading.Event())
    assert not found.whole
    assert [(r.top, r.left, r.mask.shape) for r in found.regions.pop(3)] == [
        (5, 4, (10, 26)),
        (30, 20, (1, 1)),
    ]
    assert not found.regions


def test_scattered_pixels_without_a_value_are_one_region(volume):
    stack = volume.astype("float32")
    stack[3, ::3, ::3] = np.nan
    (region,) = blank_marks(SliceStack(stack), lambda event: None, threading.Event()).regions[3]
    assert region.pixels == np.isnan(stack[3]).sum()


def test_it_stops_at_the_next_section(volume):
    cancel, seen = threading.Event(), []

    def report(event):
        seen.append(event)
        cancel.set()

    with pytest.raises(Cancelled):
        blank_marks(SliceStack(volume), report, cancel)
    assert len(seen) == 1
