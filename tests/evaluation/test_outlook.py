from __future__ import annotations

import re
from threading import Event

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.evaluation import outlook as module
from napari_ssan.evaluation.events import Evaluating
from napari_ssan.evaluation.leave_one_out import leave_one_out
from napari_ssan.evaluation.outlook import Place
from napari_ssan.events import RunsOn, Stage
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.pictures import grey_limits, to_grey
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((30, 64, 80)), (1.5, 4, 4))
    return (128 + 40 * structure / structure.std()).clip(1, 254).astype(np.uint8)


def judge(place: Place, *told: list, **options: str):
    return place.judge(told[0].append if told else lambda event: None, Event(), **options)


def test_the_place_is_the_mark_nearest_to_the_slice_on_screen(volume):
    stack = SliceStack(volume)
    region = Region.from_mask(np.eye(64, 80, dtype=bool))
    marks = Marks({4}, {12: [region]}, {25: 1})
    assert Place.of(stack, marks, 6).near == 4
    assert Place.of(stack, marks, 10).near == 12
    assert Place.of(stack, marks, 29).near == 25
    assert Place.of(stack, marks, None).near == 12
    assert Place.of(stack, Marks(), 7).near == 7
    assert Place.of(stack, Marks(), None).near == 15


def test_it_is_said_in_a_sentence_with_figures(volume):
    stack = SliceStack(volume)
    outlook = judge(Place.of(stack, Marks({10}), 10), method="copy")
    assert outlook.sentence.startswith(
        "On slices 7, 8, 12 nearby copying the nearest slice comes closer to the real slice than "
        "averaging in 0 of 3 (-"
    )
    assert re.search(r"; texture \d\.\d\d of real\.", outlook.sentence)
    from napari_ssan.engine.methods import make_method

    for line, z in zip(outlook.figures.splitlines(), (7, 8, 12), strict=True):
        method = make_method("copy", "", "auto")
        *_, row = leave_one_out(stack, [z], method)
        assert line.startswith(f"slice {z}: PSNR {row['psnr']:.2f} dB (averaging: ")


def test_the_average_is_compared_with_a_copy(volume):
    outlook = judge(Place.of(SliceStack(volume), Marks(), 10), method="average")
    assert (
        "averaging comes closer to the real slice than copying the nearest slice in 3 of 3 (+"
        in (outlook.sentence)
    )


def test_the_network_is_judged(volume, tiny_model):
    told: list[object] = []
    place = Place.of(SliceStack(volume), Marks(), 10)
    outlook = judge(place, told, method="ssan", model=tiny_model, device="cpu")
    assert "the network comes closer" in outlook.sentence
    assert [type(event) for event in told[:3]] == [Stage, Stage, RunsOn]
    shares = [event.share for event in told if isinstance(event, Evaluating)]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_for_a_region_neighbours_are_registered_as_in_its_repair(volume):
    drifting = volume.copy()
    drifting[1::2] = np.roll(drifting[1::2], 8, axis=2)
    mask = np.zeros(volume.shape[1:], bool)
    mask[20:30, 30:40] = True
    marks = (Marks({10}), Marks(regions={10: [Region.from_mask(mask)]}))
    whole, region = (
        judge(Place.of(SliceStack(drifting), each, 10), method="average").figures for each in marks
    )
    of_whole, of_region = (
        [float(line.split("PSNR ")[1].split()[0]) for line in figures.splitlines()]
        for figures in (whole, region)
    )
    assert all(b > a + 2 for a, b in zip(of_whole, of_region, strict=True))


def test_a_large_section_is_judged_around_the_mark(volume):
    large = np.tile(volume[:7], (1, 20, 1))
    mask = np.zeros(large.shape[1:], bool)
    mask[1200:1210, 20:30] = True
    marks = Marks(regions={3: [Region.from_mask(mask)]})
    place = Place(SliceStack(large), marks, 3)
    rows, columns = place.window
    assert (rows.stop - rows.start, columns) == (1024, slice(0, 80))
    assert rows.stop == 1280
    # What is marked elsewhere in a section does not matter here.
    far = np.zeros(large.shape[1:], bool)
    far[:10] = True
    marks.add_region(1, Region.from_mask(far))
    assert judge(place, method="average").sentence.startswith("On slices 1, 5 nearby")


def test_what_looks_broken_is_left_out_and_named(volume):
    blank = volume.copy()
    blank[8] = 0
    outlook = judge(Place.of(SliceStack(blank), Marks({10}), 10), method="copy")
    assert re.search(
        r"\. Left out, since they look broken: slices? .*\b8 \(blank\)", outlook.sentence
    )


def test_axes_in_another_order_are_no_matter(volume):
    first = judge(Place.of(SliceStack(volume), Marks(), 10), method="copy")
    turned = SliceStack(np.moveaxis(volume, 0, 2), 2)
    assert judge(Place.of(turned, Marks(), 10), method="copy") == first


def test_where_nothing_is_good_it_says_so(volume):
    with pytest.raises(BadInput, match="No good slice"):
        judge(Place.of(SliceStack(volume[:3]), Marks({1}), 1), method="average")


def test_it_stops(volume):
    flag = Event()
    flag.set()
    with pytest.raises(Cancelled):
        Place.of(SliceStack(volume), Marks(), 5).judge(lambda event: None, flag, "average")


def test_the_answer_counts_membranes_and_comes_with_pictures(volume, monkeypatch):
    class Dark:
        def membranes(self, section):
            return section < 110

    monkeypatch.setattr(module, "bundled_segmenter", Dark)
    outlook = judge(Place.of(SliceStack(volume), Marks({10}), 10), method="average")
    found = re.fullmatch(
        r"Membranes: (\d+) of 10 found, against (\d+) of 10 by copying the nearest slice\.",
        outlook.answer,
    )
    assert found
    assert 0 < int(found[1]) <= 10
    assert [trial.section for trial in outlook.pictures] == [7, 8, 12]
    first = outlook.pictures[0]
    assert first.real.dtype == np.uint8
    assert first.real.shape == first.made.shape == first.simple.shape == (64, 80)
    limits = grey_limits([volume[7]])
    np.testing.assert_array_equal(first.real, to_grey(volume[7], limits))
    assert first.simple_way == "copying the nearest slice"
    assert (first.simple != first.made).any()

    Dark.membranes = lambda self, section: np.zeros(section.shape, bool)
    outlook = judge(Place.of(SliceStack(volume), Marks({10}), 10), method="average")
    assert outlook.answer.startswith("No membranes are found in the real slices nearby")
