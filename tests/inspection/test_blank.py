from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.errors import Cancelled
from napari_ssan.inspection.blank import blank_sections
from napari_ssan.stack.sections import SliceStack


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_blank_sections_are_found(volume, dtype):
    stack = volume.astype(dtype)
    stack[3] = 0
    stack[6] = 200
    expected = [3, 6]
    if dtype == "float32":
        stack[8, 5, 5] = np.nan
        expected.append(8)
    seen = []
    found = blank_sections(SliceStack(stack), seen.append, threading.Event())
    assert found == expected
    assert (seen[-1].done, seen[-1].total) == (9, 9)


def test_it_stops_at_the_next_section(volume):
    cancel, seen = threading.Event(), []

    def report(event):
        seen.append(event)
        cancel.set()

    with pytest.raises(Cancelled):
        blank_sections(SliceStack(volume), report, cancel)
    assert len(seen) == 1
