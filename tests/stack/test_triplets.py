from __future__ import annotations

import json
import threading
from itertools import islice

import numpy as np
import pytest
import zarr

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.stack.augmentation import Augmentation
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.selection import SPANS, UNEVEN, TripletSections, select
from napari_ssan.stack.source import Source
from napari_ssan.stack.triplets import TripletSampler, cut, is_marked, overlap

PLAIN = Augmentation(flip=False, swap=False, turn=False, zoom=1, intensity=0)
ALL = Augmentation(zoom=2, intensity=0.1, noise=0.2, blur=1)


def sampler(volume, seed: int = 0, size: int = 32, marks=None, spacing=1, **options):
    source = Source(SliceStack(volume), spacing=spacing, marks=marks)
    return TripletSampler([source], size, seed, **options)


def grey(crop: np.ndarray, sampler: TripletSampler, z: int) -> np.ndarray:
    return sampler.selections[0].intensities[z].denormalize(crop)


def same(one, other) -> bool:
    return one.position == other.position and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("previous", "target", "following")
    )


@pytest.mark.parametrize("vary", [Augmentation(), PLAIN, ALL])
def test_triplets_are_normalized_crops(tissue, vary):
    for triplet in islice(sampler(tissue(), augmentation=vary), 20):
        for crop in (triplet.previous, triplet.target, triplet.following):
            assert crop.shape == (32, 32)
            assert crop.dtype == np.float32
        assert 0 < triplet.position < 1
        assert abs(triplet.target.mean() - 0.5) < 0.15


def test_the_stream_is_a_function_of_the_seed(tissue):
    first, again, other = (list(islice(sampler(tissue(), seed), 5)) for seed in (5, 5, 6))
    assert all(map(same, first, again))
    assert not any(map(same, first, other))


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_restored_stream_goes_on_exactly(tissue, after):
    stream = sampler(tissue(), 3, augmentation=ALL)
    list(islice(stream, after))
    kept = json.loads(json.dumps(stream.state()))
    expected = list(islice(stream, 6))
    anew = sampler(tissue(), 99, augmentation=ALL)
    next(anew)
    anew.restore(kept)
    assert all(map(same, expected, islice(anew, 6)))


def test_crops_and_positions_are_those_of_the_sections(counting):
    # Pixels tell row and column, whatever the section's brightness; reads tell the section.
    z, y, x = np.indices((9, 60, 70), dtype=float)
    volume = counting((z + 1) * (100 * y + x))
    drawn = sampler(volume, augmentation=PLAIN, select=False)
    known = drawn.selections[0].intensities[0]
    volume.sections.clear()
    spans = []
    for triplet in islice(drawn, 200):
        rows, columns = np.divmod(known.denormalize(triplet.target).round(), 100)
        assert (rows - rows[0, 0] == np.indices((32, 32))[0]).all()
        assert (columns - columns[0, 0] == np.indices((32, 32))[1]).all()
        for crop in (triplet.previous, triplet.following):
            np.testing.assert_allclose(crop, triplet.target, atol=1e-5)
        first, target, last = volume.sections
        volume.sections.clear()
        assert triplet.position == (target - first) / (last - first)
        spans.append(last - first)
    assert {span: spans.count(span) / 200 for span in SPANS} == pytest.approx(SPANS, abs=0.1)


def test_swapping_turns_the_position_round(tissue):
    vary = PLAIN.model_copy(update={"swap": True})
    drawn = sampler(tissue(), augmentation=vary)
    plain = sampler(tissue(), augmentation=PLAIN)
    swapped = 0
    for _ in range(60):
        plain.restore(drawn.state())
        here, there = next(drawn), next(plain)
        if not same(here, there):
            swapped += 1
            assert here.position == 1 - there.position
            assert (here.previous == there.following).all()
            assert (here.following == there.previous).all()
        assert (here.target == there.target).all()
    assert 15 < swapped < 45


def test_the_target_stays_real(tissue):
    still = PLAIN.model_copy(update={"intensity": 0.3, "noise": 1.0, "blur": 2.0})
    loud, plain = (sampler(tissue(), augmentation=vary) for vary in (still, PLAIN))
    for _ in range(10):
        plain.restore(loud.state())
        here, there = next(loud), next(plain)
        assert (here.target == there.target).all()
        assert not np.allclose(here.previous, there.previous, atol=0.01)
        assert not np.allclose(here.following, there.following, atol=0.01)


def test_sources_are_drawn_equally_often(tissue, counting):
    large, small = counting(tissue((14, 96, 96))), counting(tissue((4, 40, 40)))
    sources = [Source(SliceStack(large)), Source(SliceStack(small))]
    drawn = TripletSampler(sources, 32, 0, PLAIN)
    arrays = [source.stack.data for source in sources]
    for array in arrays:
        array.sections.clear()
    list(islice(drawn, 300))
    assert 120 < len(arrays[1].sections) / 3 < 180
    assert len(arrays[0].sections) / 3 == 300 - len(arrays[1].sections) / 3


@pytest.mark.parametrize("select", [True, False])
def test_marked_sections_are_never_read(tissue, counting, select):
    volume = counting(tissue())
    list(islice(sampler(volume, marks=Marks({2, 7}), select=select), 100))
    assert volume.reads[[2, 7]].sum() == 0
    assert all(volume.reads[z].any() for z in (3, 4, 5, 6, 8, 9, 10, 11))


def test_crops_never_touch_marked_pixels(tissue, counting):
    volume = tissue()
    volume[6] = np.roll(volume[6], (5, -7), axis=(0, 1))
    disc = np.hypot(*np.indices((41, 41)) - 20) < 20
    regions = {4: [Region(20, 30, disc)], 6: [Region(0, 60, np.ones((30, 50), bool))]}
    drawn = sampler(counting(volume), marks=Marks(regions=regions), augmentation=ALL)
    assert not drawn.selections[0].reasons
    assert any(shift != (0, 0) for t in drawn.selections[0].triplets for _, shift in t.shifted)
    array = drawn.sources[0].stack.data
    array.reads[:] = 0
    list(islice(drawn, 200))
    for z, (region,) in regions.items():
        assert array.reads[z].any()
        assert not array.reads[z][region.window][region.mask].any()


def test_blank_places_are_not_drawn(tissue):
    volume = tissue((8, 128, 128))
    volume[:, :, :50] = 0
    volume[5, 80:] = 0
    for triplet in islice(sampler(volume, augmentation=PLAIN), 100):
        for crop in (triplet.previous, triplet.target, triplet.following):
            assert crop.std() > 0.01


def test_shifted_sections_are_cut_aligned(tissue):
    volume = tissue((9, 160, 170)).astype(float)
    clean = volume.copy()
    volume[4] = np.roll(volume[4], (9, -6), axis=(0, 1))
    source = Source(SliceStack(volume))
    chosen = select(source)
    triplet = next(t for t in chosen.triplets if t.first == 4)
    assert triplet.shift_first == (-9, 6)
    area = overlap(source, triplet, 64)
    assert area == (slice(0, 151), slice(6, 170))
    crops = cut(source, chosen, triplet, area)
    np.testing.assert_allclose(
        chosen.intensities[4].denormalize(crops[0]), clean[4][area], atol=1e-3
    )
    assert overlap(source, triplet, 155) == (slice(0, 160), slice(6, 170))


def test_a_triplet_is_marked_where_its_shifted_sections_are():
    stack = SliceStack(np.zeros((3, 50, 50), np.uint8))
    spot = Region(30, 10, np.ones((1, 1), bool))
    source = Source(stack, marks=Marks(regions={0: [spot]}))
    triplet = TripletSections(0, 1, 2, 0.5, shift_first=(-9, 6))
    assert is_marked(source, triplet, (slice(21, 22), slice(16, 17)))
    assert not is_marked(source, triplet, (slice(30, 31), slice(10, 11)))


def test_histograms_are_specified_to_the_target(tissue):
    volume = tissue((8, 128, 128)).astype(float)
    volume[3] = 255 * (volume[3] / 255) ** 3
    source = Source(SliceStack(volume))
    triplet = TripletSections(3, 4, 5, 0.5)
    chosen = select(source, closely=False)
    whole = (slice(0, 128), slice(0, 128))
    mean, histogram = (cut(source, chosen, triplet, whole, how) for how in ("mean", "histogram"))
    shares = np.linspace(0.01, 0.99, 50)
    wanted = np.quantile(mean[1], shares)
    np.testing.assert_array_equal(mean[1], histogram[1])
    np.testing.assert_allclose(np.quantile(histogram[0], shares), wanted, atol=0.008)
    assert np.abs(np.quantile(mean[0], shares) - wanted).max() > 0.02
    stream = sampler(volume, augmentation=PLAIN, select=False, match="histogram")
    other = sampler(volume, augmentation=PLAIN, select=False)
    one, two = next(stream), next(other)
    assert (one.target == two.target).all()
    assert (one.previous != two.previous).any()


def test_only_windows_are_read(tissue, counting, tmp_path):
    volume = counting(tissue((6, 300, 300)))
    drawn = sampler(volume, augmentation=PLAIN)
    volume.most = 0
    list(islice(drawn, 20))
    assert volume.most == 32 * 32
    store = zarr.create_array(tmp_path / "a.zarr", data=tissue((6, 96, 96)), chunks=(1, 32, 32))
    assert same(next(sampler(store)), next(sampler(tissue((6, 96, 96)))))


def test_a_window_bounds_the_crops(tissue, counting):
    volume = counting(tissue((6, 200, 200)))
    window = (slice(50, 120), slice(100, 180))
    drawn = TripletSampler([Source(SliceStack(volume), window=window)], 32, 0, ALL)
    list(islice(drawn, 100))
    assert volume.reads[(slice(None), *window)].all()
    volume.reads[(slice(None), *window)] = 0
    assert not volume.reads.any()
    with pytest.raises(BadInput, match="70 x 80 pixels"):
        TripletSampler([Source(SliceStack(volume), window=window)], 80, 0)


@pytest.mark.parametrize("spacing", [1, 4])
def test_too_few_good_sections_are_refused(tissue, spacing):
    volume = tissue((9, 70, 80))
    volume[1::2] = 3
    if spacing == 1:
        with pytest.raises(BadInput, match=r"three good slices .* 7 damaged"):
            sampler(volume)
    else:
        next(sampler(volume, spacing=4))


def test_small_sections_are_refused(tissue):
    with pytest.raises(BadInput, match="smaller than a training crop"):
        sampler(tissue()[:, :30])


def test_a_source_of_nothing_but_blank_crops_is_given_up(tissue):
    volume = np.zeros((5, 600, 600), np.uint8)
    volume[:, :6, :6] = tissue((5, 6, 6))
    with pytest.raises(BadInput, match="marked or blank"):
        next(sampler(volume, select=False, size=300, augmentation=PLAIN))


def test_progress_over_all_sources_and_cancelling(tissue):
    sources = [Source(SliceStack(tissue((n, 64, 64)))) for n in (5, 7)]
    heard, stop = [], threading.Event()

    def report(done: int, total: int) -> None:
        heard.append((done, total))
        if done == 9:
            stop.set()

    TripletSampler(sources, 32, 0, report=lambda *now: heard.append(now))
    assert [done for done, _ in heard] == [*range(6), *range(5, 13)]
    assert {total for _, total in heard} == {12}
    with pytest.raises(Cancelled):
        TripletSampler(sources, 32, 0, report=report, cancel=stop)


def test_a_triplet_follows_from_its_number(tissue):
    drawn = sampler(tissue(), 5, augmentation=ALL)
    stream = list(islice(drawn, 6))
    assert drawn.drawn == 6
    for number in (4, 0, 5, 2):
        assert same(drawn.triplet(number), stream[number])
    assert drawn.drawn == 6
    assert not any(same(stream[0], other) for other in stream[1:])


def test_uneven_triplets_have_one_side_farther_and_are_told_the_middle(tissue, counting):
    volume = counting(tissue((14, 60, 60)))
    vary = PLAIN.model_copy(update={"uneven": 1.0})
    drawn = sampler(volume, augmentation=vary, select=False)
    volume.sections.clear()
    seen = set()
    for triplet in islice(drawn, 200):
        first, target, last = volume.sections
        volume.sections.clear()
        assert triplet.position == 0.5
        seen.add((target - first, last - target))
    assert seen == set(UNEVEN)
    assert {(b / a) if a < b else (a / b) for a, b in UNEVEN} == {2, 1.5}


def test_sections_are_uneven_only_where_that_is_asked_for(tissue, counting):
    volume = counting(tissue((14, 60, 60)))
    vary = PLAIN.model_copy(update={"uneven": 0.3})
    share = np.mean([t.position == 0.5 for t in islice(sampler(volume, augmentation=vary), 300)])
    even = np.mean([t.position == 0.5 for t in islice(sampler(volume, augmentation=PLAIN), 300)])
    assert share > even + 0.02
    plain = sampler(volume, augmentation=PLAIN)
    volume.sections.clear()
    for triplet in islice(plain, 100):
        first, target, last = volume.sections
        volume.sections.clear()
        assert triplet.position == (target - first) / (last - first)


def test_an_isotropic_stack_is_cut_along_every_axis(tissue):
    """Sections of a spacing along an axis are the planes of the volume."""
    volume = tissue((48, 50, 52))
    for axis, spacing in ((0, 3), (1, 4), (2, 5)):
        source = Source(SliceStack(volume, axis), spacing=spacing)
        drawn = TripletSampler([source], 32, 0, PLAIN, select=False)
        chosen = drawn.selections[0].triplets
        assert (
            {t.target - t.first for t in chosen} == {t.last - t.target for t in chosen} == {spacing}
        )
        assert len(chosen) == volume.shape[axis] - 2 * spacing
        plane = np.moveaxis(volume, axis, 0)[chosen[0].target]
        window = (slice(1, 33), slice(3, 35))
        crops = cut(source, drawn.selections[0], chosen[0], window)
        found = drawn.selections[0].intensities[chosen[0].target].denormalize(crops[1])
        np.testing.assert_allclose(found, plane[window], atol=1e-3)
