from __future__ import annotations

import numpy as np

from napari_ssan.inspection.findings import Findings
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.view import View
from napari_ssan.stack.sections import SliceStack


def gaps(after, lost, blurred=()):
    """Finds of lost sections in a stack of sections that correlate with the next one so much."""
    after = [*after, after[-1]]
    for z in blurred:
        after[z - 1], after[z] = after[z - 1] - 0.3, after[z] - 0.3
    across = [0.7 * min(after[z - 1], each) for z, each in enumerate(after)]
    if lost is not None:
        after[lost] -= 0.35
        across[lost] -= 0.2
        across[lost + 1] -= 0.2
    traits = [
        Traits(
            z, level=100.0, contrast=10.0, before=after[z - 1], after=each, across=across[z],
            neighbours=(z - 1, z + 1), apart={1: 0.75, 2: 0.5, 3: 0.3, 4: 0.2},
        )
        for z, each in enumerate(after)
    ]  # fmt: skip
    for z in blurred:
        traits[z].sharpness = np.full(4, -3, np.float32)
    planted = [("blur", Traits(3, contrast=10.0, sharpness=np.full(4, -2, np.float32)))]
    view = View(SliceStack(np.zeros((len(traits), 64, 64), np.uint8)))
    found = Findings(view, traits, [()] * len(traits), planted, {}).all()
    return {each.z for each in found if each.gap and each.p >= 0.5}


def test_lost_sections_are_told_by_what_is_usual_nearby():
    random = np.random.default_rng(0)
    slow = np.linspace(0.9, 0.55, 40) + random.normal(0, 0.02, 40)
    assert gaps(slow, None) == set()
    assert gaps(slow, 8) == {8}
    assert gaps(slow, 30) == {30}


def test_broken_sections_do_not_hide_that_others_are_lost():
    even = 0.8 + np.random.default_rng(0).normal(0, 0.01, 20)
    assert gaps(even, None, blurred=[3, 16]) == set()
    assert gaps(even, 9, blurred=[3, 16]) == {9}


def test_likeness_that_jumps_everywhere_tells_of_no_lost_sections():
    weak = np.where(np.random.default_rng(0).random(40) < 0.3, 0.25, 0.65)
    assert gaps(weak, None) == set()
