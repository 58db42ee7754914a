from __future__ import annotations

import numpy as np
from inspection import damage, shows

from napari_ssan.stack.phantom import phantom


def test_a_region_shows_if_it_departs_from_what_good_tissue_does():
    clean = list(phantom((18, 160, 160), seed=4).clean[:3])
    rows, columns = np.indices((160, 160))
    mask = np.hypot(rows - 70, columns - 90) < 10
    dark, faint = (clean[1].astype(np.float32) - by * mask for by in (120, 5))
    assert shows(clean, 1, dark, mask)
    assert not shows(clean, 1, faint, mask)


def test_a_short_stack_gets_its_farthest_section_in_place_of_another():
    clean = list(phantom((18, 96, 96)).clean[:9])
    for seed in range(4):
        random = np.random.default_rng(seed)
        sections, planted, _ = damage(clean, [("slice discontinuity", 2)], [2, 3, 4, 5, 6], random)
        (z,) = planted
        (far,) = [n for n, each in enumerate(clean) if (each == sections[z]).all()]
        assert abs(far - z) == max(abs(n - z) for n in (2, 3, 4, 5, 6))


def test_of_several_places_to_cut_out_sections_one_is_taken_and_the_others_wait():
    clean = list(phantom((40, 64, 64)).clean)
    todo = [("slice lost", 0), ("slice lost", 1), ("slice blank", 0)]
    sections, planted, left = damage(clean, todo, [*range(2, 38)], np.random.default_rng(0))
    assert sorted(kind for kind, *_ in planted.values()) == ["slice blank", "slice lost"]
    assert left == [("slice lost", 1)]
    assert len(sections) == 38
