"""Covers: napari_ssan.engine.provenance, napari_ssan.engine.synthesis"""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from scipy.ndimage import gaussian_filter, rotate

import napari_ssan
from napari_ssan import BadInput, Cancelled, Marks, Region
from napari_ssan.engine.methods import Classical, Network, make_method
from napari_ssan.engine.plan import plan
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.engine.synthesis import synthesize
from napari_ssan.engine.tiles import Tiling
from napari_ssan.events import Notice, Progress
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.stack.sections import SliceStack

DTYPES = ["uint8", "uint16", "int16", "float32", "float64"]


def spot(top: int = 30, left: int = 40, height: int = 20, width: int = 24) -> Region:
    rows, columns = np.indices((height, width))
    y, x = (rows + 0.5) / height * 2 - 1, (columns + 0.5) / width * 2 - 1
    return Region(top, left, y**2 + x**2 < 1)


def test_a_region_stays_finite_at_the_end_of_the_range():
    most = np.finfo(np.float16).max
    volume = np.random.default_rng(0).uniform(0.2, 1, (5, 80, 90)) * float(most)
    volume = np.where(volume > 0.6 * float(most), most, volume).astype(np.float16)
    marks = Marks(regions={2: [spot()]})
    assert np.isfinite(np.asarray(napari_ssan.repair(volume, marks, method="average"))).all()


def as_dtype(volume: np.ndarray, dtype: str) -> np.ndarray:
    scale = {"uint16": 200.0, "int16": 100.0, "float32": 1 / 255, "float64": 1e-6}.get(dtype, 1.0)
    offset = -9000 if dtype == "int16" else 0
    return (volume.astype(float) * scale + offset).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 2])
def test_dtype_range_and_axes_come_back(volume, dtype, axis, tiny_model):
    data = np.moveaxis(as_dtype(volume, dtype), 0, axis)
    repaired = napari_ssan.repair(data, [4], tiny_model, "cpu", z_axis=axis)
    assert repaired.dtype == data.dtype
    assert repaired.shape == data.shape
    out, source = (np.moveaxis(np.asarray(x), axis, 0) for x in (repaired, data))
    neighbours = source[[3, 5]]
    assert neighbours.min() <= out[4].min() < out[4].max() <= neighbours.max()
    assert float(out[4].mean()) == pytest.approx(
        neighbours.mean(), abs=0.2 * float(neighbours.std())
    )
    np.testing.assert_array_equal(np.delete(out, 4, 0), np.delete(source, 4, 0))


def test_16_bit_keeps_its_levels(volume, tiny_model):
    repaired = napari_ssan.repair(as_dtype(volume, "uint16"), [4], tiny_model, "cpu")
    assert len(np.unique(repaired[4])) > 4000


def test_the_scale_of_the_data_does_not_matter(volume, tiny_model):
    made = [
        np.asarray(napari_ssan.repair(data, [4], tiny_model, "cpu")[4], float)
        for data in (volume.astype("f4"), volume.astype("f4") * 37 + 1e4)
    ]
    np.testing.assert_allclose(made[1], made[0] * 37 + 1e4, atol=37 * 0.05)


@pytest.mark.parametrize("wrap", [da.from_array, zarr.array, lambda a: [a, a[:, ::2, ::2]]])
def test_every_kind_of_array_gives_the_same(volume, wrap):
    expected = napari_ssan.repair(volume, [4], method="average")
    repaired = napari_ssan.repair(wrap(volume), [4], method="average")
    np.testing.assert_array_equal(np.asarray(repaired), np.asarray(expected))


def test_the_source_is_never_changed(volume, tiny_model):
    before = volume.copy()
    defects = Marks({2}, {6: [spot()]}, {3: 1})
    napari_ssan.repair(volume, defects, tiny_model, "cpu")
    np.testing.assert_array_equal(volume, before)


def test_only_the_sections_that_a_repair_needs_are_read(volume):
    sections = set()

    class Counting:
        shape, dtype = volume.shape, volume.dtype

        def __getitem__(self, index):
            sections.add(index[0])
            return volume[index]

    napari_ssan.repair(Counting(), [4], method="average")
    assert sections == {3, 5}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_region_repair_changes_marked_pixels_only(volume, dtype, tiny_model):
    data = as_dtype(volume, dtype)
    region = spot()
    repaired = napari_ssan.repair(data, Marks(regions={4: [region]}), tiny_model, "cpu")
    out = np.asarray(repaired)
    marked = np.zeros(data.shape, bool)
    marked[(4, *region.window)] = region.mask
    np.testing.assert_array_equal(out[~marked], data[~marked])
    np.testing.assert_array_equal(repaired.synthetic(()), marked)
    assert (out[marked] != data[marked]).mean() > 0.5


@pytest.mark.parametrize("rubbish", [0, 1e30, np.nan, np.inf])
def test_no_value_of_a_marked_pixel_enters_the_result(volume, tiny_model, rubbish):
    data = volume.astype("f4")
    defects = Marks({7}, regions={4: [spot(), spot(60, 90)], 5: [spot(10, 100, 12, 12)]})
    dirty = data.copy()
    dirty[7] = rubbish
    for z, regions in defects.regions.items():
        for region in regions:
            dirty[(z, *region.window)][region.mask] = rubbish
    made = [np.asarray(napari_ssan.repair(d, defects, tiny_model, "cpu")) for d in (data, dirty)]
    np.testing.assert_array_equal(*made)


def test_a_patch_meets_the_good_pixels_at_its_rim(volume):
    smooth = gaussian_filter(volume.astype("f4"), (0, 2, 2))
    smooth[4] += 30  # the whole section is brighter than its neighbours
    region = spot(30, 40, 30, 40)
    out = np.asarray(napari_ssan.repair(smooth, Marks(regions={4: [region]}), method="average"))
    marked = np.zeros(smooth.shape[1:], bool)
    marked[region.window] = region.mask
    steps = np.abs(np.diff(out[4], axis=0))
    across = marked[1:] != marked[:-1]
    assert steps[across].mean() < 1.5 * steps[~across].mean()
    assert abs(out[4][marked].mean() - smooth[4][~marked].mean()) < 8


def test_work_is_local_to_the_tiles_of_the_region(tiny_model):
    large = np.random.default_rng(0).integers(0, 255, (3, 640, 640)).astype(np.uint8)
    events: list[object] = []
    defects = Marks(regions={1: [spot(300, 300)]})
    napari_ssan.repair(large, defects, tiny_model, "cpu", events.append)
    tiles = [event for event in events if isinstance(event, Progress)]
    assert 1 <= tiles[-1].total <= 9 < len(tiles) or len(tiles) == tiles[-1].total


def test_a_region_is_synthesized_as_part_of_its_section(volume, tiny_model):
    # Same grid of tiles: without a rim to fit to, the same pixels come out.
    whole = Marks({4})
    all_marked = Marks(regions={4: [Region(0, 0, np.ones(volume.shape[1:], bool))]})
    made = [
        np.asarray(napari_ssan.repair(volume, d, tiny_model, "cpu")) for d in (whole, all_marked)
    ]
    np.testing.assert_array_equal(*made)


def test_gaps_are_filled_at_their_places():
    random = np.random.default_rng(0)
    base = random.normal(0, 10, (64, 64))
    volume = np.stack([base + 10 * z for z in range(8)])
    out = np.asarray(napari_ssan.repair(volume, [3, 4], method="average"))
    np.testing.assert_allclose(out, volume, atol=1e-3)


def test_absent_sections_are_inserted(volume):
    repaired = napari_ssan.repair(volume, Marks(missing={3: 2}), method="average")
    assert repaired.shape == (11, *volume.shape[1:])
    out = np.asarray(repaired)
    np.testing.assert_array_equal(np.delete(out, [4, 5], 0), volume)
    records = repaired.provenance.sections
    assert [(r.section, r.kind, r.neighbours) for r in records] == [
        (4, "inserted", (3, 6)),
        (5, "inserted", (3, 6)),
    ]


def test_the_end_of_a_stack_is_a_copy_and_says_so(volume, tiny_model):
    said: list[object] = []
    repaired = napari_ssan.repair(volume, [8], tiny_model, "cpu", said.append)
    np.testing.assert_array_equal(repaired[8], volume[7])
    assert "one side only" in str(next(event for event in said if isinstance(event, Notice)))
    (record,) = repaired.provenance.sections
    assert (record.method, record.model, record.neighbours) == ("copy", None, (7,))


def test_provenance_names_the_weights(volume, tiny_model):
    (record,) = napari_ssan.repair(volume, [4], tiny_model, "cpu").provenance.sections
    assert (record.method, record.model) == ("ssan", "tiny")
    assert record.model_sha256 == napari_ssan.load_model(tiny_model).info.sha256
    assert str(record) == "slice 4: synthetic, from 3 and 5 (tiny)"


def test_shifted_neighbours_are_brought_into_register():
    texture = 128 + 300 * gaussian_filter(np.random.default_rng(0).standard_normal((300, 300)), 4)
    views = [texture[20 + s : 220 + s, 30:230] for s in (0, 6, 12)]
    out = napari_ssan.repair(np.stack(views), [1], method="average")[1]
    inner = slice(15, -15), slice(15, -15)
    naive = np.abs((views[0] + views[2]) / 2 - views[1])[inner].mean()
    assert np.abs(out - views[1])[inner].mean() < 0.15 * naive


def test_turned_neighbours_are_brought_into_register():
    noise = np.random.default_rng(0).standard_normal((400, 400))
    texture = 128 + 300 * gaussian_filter(noise, 4)
    views = [rotate(texture, angle, reshape=False, mode="reflect") for angle in (-1.5, 0, 1.5)]
    out = napari_ssan.repair(np.stack(views), [1], method="average")[1]
    naive = np.abs((views[0] + views[2]) / 2 - views[1]).mean()
    assert np.abs(out - views[1])[15:-15, 15:-15].mean() < 0.15 * naive

    # A region far off the middle, where a turn moves most, is registered to its own section.
    mask = np.zeros((400, 400), bool)
    mask[300:360, 300:380] = True
    patched = napari_ssan.repair(np.stack(views), {1: mask}, method="average")[1]
    naive = np.abs((views[0] + views[2]) / 2 - views[1])[mask].mean()
    assert np.abs(patched - views[1])[mask].mean() < 0.15 * naive
    np.testing.assert_array_equal(patched[~mask], views[1][~mask])


def test_seams_cannot_be_measured(tiny_model):
    random = np.random.default_rng(0)
    volume = 128 + 300 * gaussian_filter(random.standard_normal((3, 520, 520)), (0, 3, 3))
    method = Network.load(tiny_model, "cpu")
    method = replace(method, tiling=replace(method.tiling, largest=128))
    (out,) = [
        item.pixels
        for item in patches(SliceStack(volume), Marks({1}), method)
        if isinstance(item, Patch)
    ]
    grid = method.tiling.grid((520, 520), (slice(0, 520), slice(0, 520)))
    steps = np.abs(np.diff(out, axis=1)).mean(axis=0)
    borders = [x for at in grid.lefts for x in (at - 1, at + grid.tile[1] - 1) if 0 < x < 519]
    assert len(borders) >= 8
    elsewhere = np.delete(steps, borders).mean()
    assert abs(steps[borders].mean() / elsewhere - 1) < 0.05


@pytest.mark.parametrize("size", [(32, 32), (33, 95), (64, 40)])
def test_small_sections_are_padded(size, tiny_model):
    volume = np.random.default_rng(0).integers(0, 255, (3, *size)).astype(np.uint8)
    assert napari_ssan.repair(volume, [1], tiny_model, "cpu")[1].std() > 0


@pytest.mark.parametrize("match", ["mean", "histogram"])
def test_a_fold_is_made_where_it_lies_and_nowhere_else(match, tiny_model, monkeypatch):
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.standard_normal((3, 500, 620)), (1, 3, 3))
    volume = (128 + 300 * smooth).clip(0, 255).astype(np.uint8)
    fold = np.abs(np.subtract.outer(1.2 * np.arange(500), np.arange(620))) < 12
    tiles = Tiling(128, 24, multiple=64, context=8)
    monkeypatch.setattr("napari_ssan.engine.methods.network_tiling", lambda *_: tiles)

    def repaired() -> tuple[np.ndarray, int]:
        events: list[object] = []
        marks = Marks(regions={1: [Region.from_mask(fold)]})
        out = napari_ssan.repair(volume, marks, tiny_model, "cpu", events.append, match=match)
        assert (out.expected_error[1][fold] > 0).all()
        return out[1], sum(isinstance(item, Progress) for item in events)

    made, few = repaired()
    monkeypatch.setattr(Region, "touches", lambda *_: True)
    wanted, all_tiles = repaired()
    assert few < all_tiles / 2
    np.testing.assert_array_equal(made[~fold], volume[1][~fold])
    # Of the distribution that is matched, a region has another sample.
    far = np.abs(made.astype(float) - wanted)[fold]
    assert far.max() == 0 if match == "mean" else far.mean() < 3


@pytest.mark.parametrize("around", ["corrected", "NaN"])
def test_what_lies_beside_a_fold_and_is_not_made_does_not_sway_it(around, monkeypatch):
    side = 400
    rows, columns = np.indices((side, side))
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((side, side)), 3)
    truth = (128 + 200 * smooth + 90 * (columns - rows) / side).astype(np.float32)
    volume = np.stack([truth] * 3)
    fold, beside = np.abs(columns - rows) < 6, np.abs(columns + rows - side) < 120
    volume[1][fold] = 0
    marks = Marks(regions={1: [Region.from_mask(fold)]})
    if around == "NaN":
        volume[1][beside] = np.nan
    else:
        marks.add_region(1, replace(Region.from_mask(beside), treatment="correct"))
    tiling = Tiling(64, 12, multiple=16, context=8)
    monkeypatch.setattr("napari_ssan.engine.methods.TILING", tiling)
    out = napari_ssan.repair(volume, marks, method="average")[1]
    assert np.abs(out - truth)[fold].max() < 0.1


def test_a_classical_method_takes_no_tile_larger_than_the_section(volume, monkeypatch):
    shapes = set()
    real = Classical._warps

    def seen(self, previous, *rest):
        shapes.add(previous.shape[1:])
        return real(self, previous, *rest)

    monkeypatch.setattr(Classical, "_warps", seen)
    napari_ssan.repair(volume, [4], method="registered")
    side = max(256, *volume.shape[1:])  # two overlaps at least
    assert shapes == {(side, side)}
    shapes.clear()
    napari_ssan.repair(volume, [4], method="average")
    assert shapes == {tuple(-(-side // 64) * 64 for side in volume.shape[1:])}


def test_progress_counts_tiles_and_reports_patches(volume, tiny_model):
    events: list[object] = []
    napari_ssan.repair(volume, [2, 5], tiny_model, "cpu", events.append)
    tiles = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in tiles] == list(range(1, tiles[0].total + 1))
    assert tiles[-1].seconds_left == 0
    assert sum(isinstance(event, Patch) for event in events) == 2


def test_whatever_is_told_is_told_once(volume, tiny_model):
    method = Network.load(tiny_model, "cpu")
    marks = Marks({2, 8}, {5: [spot()]}, {6: 1})
    items = list(patches(SliceStack(volume), marks, method))
    assert [type(item) for item in items if not isinstance(item, Progress)] == [
        *(Notice, Patch, Patch, Patch, Patch)
    ]
    tiles = [item for item in items if isinstance(item, Progress)]
    assert [event.done for event in tiles] == list(range(1, tiles[0].total + 1))
    told: list[object] = []
    repaired = napari_ssan.repair(volume, marks, tiny_model, "cpu", told.append)
    assert [type(item) for item in told] == [type(item) for item in items]
    assert [item for item in told if isinstance(item, Patch)] == [
        patch for slot in repaired.slots for patch in repaired.patches(slot)
    ]


def test_nothing_is_synthesized_that_is_not_asked_for(volume, tiny_model):
    worked = []

    class Counting(Classical):
        def synthesize(self, previous, following, position):
            worked.append(position)
            return super().synthesize(previous, following, position)

    method = Counting("average", tiling=Tiling(64, 16))
    stream = patches(SliceStack(volume), Marks({2, 5}), method)
    assert not worked
    assert next(stream).done == 1
    assert next(stream).done == 2
    stream.close()
    assert len(worked) == 2


def test_a_gpu_works_on_the_next_batch_while_the_last_one_is_blended(volume, tiny_model):
    told = []

    class Ahead(Classical):
        """Hands over what it made only when it is waited for, like a GPU."""

        ahead = 1

        def begin(self, *tiles, with_error):
            made = super().begin(*tiles, with_error=with_error)
            number = told.count("begun")
            told.append("begun")

            def wait():
                told.append(number)
                return made()

            return wait

    made = []
    for kind in (Classical, Ahead):
        method = kind("average", tiling=Tiling(32, 16))
        items = list(patches(SliceStack(volume), Marks({2, 5}), method, with_error=True))
        made.append([item for item in items if isinstance(item, Patch)])
        assert [item.done for item in items if isinstance(item, Progress)] == list(
            range(1, len([item for item in items if isinstance(item, Progress)]) + 1)
        )
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.error, other.error)
    count = told.count("begun") // 2
    assert count > 2
    wanted: list[object] = ["begun"]
    for number in range(count - 1):
        wanted += ["begun", number]
    wanted.append(count - 1)
    assert told == [
        *wanted,
        *(item + count if isinstance(item, int) else item for item in wanted),
    ]


def test_what_a_patch_is_is_said(volume):
    marks = Marks({2}, missing={5: 1})
    said = [str(item) for item in patches(SliceStack(volume), marks, Classical("average"))]
    assert "repaired slice 2: synthetic, from 1 and 3 (average)" in said
    assert "inserted a section after slice 5, from 5 and 6" in said


def test_cancel_works_within_a_tile(volume, tiny_model):
    cancel = threading.Event()
    events: list[object] = []

    def report(event: object) -> None:
        events.append(event)
        cancel.set()

    with pytest.raises(Cancelled):
        napari_ssan.repair(volume, [2, 5], tiny_model, "cpu", report, cancel)
    assert len(events) == 1


def test_scratch_holds_the_pixels(volume, tmp_path):
    repaired = napari_ssan.repair(volume, [2, 5], method="average", scratch=tmp_path)
    assert len(list(tmp_path.glob("[0-9]*.npy"))) == 2
    assert len(list(tmp_path.glob("error-*.npy"))) == 2
    expected = napari_ssan.repair(volume, [2, 5], method="average")
    np.testing.assert_array_equal(np.asarray(repaired), np.asarray(expected))
    np.testing.assert_array_equal(repaired.expected_error[5], expected.expected_error[5])


def test_memory_is_bounded_by_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ssan.engine.stored.LARGEST_BUFFER", 2**20)
    monkeypatch.setattr("napari_ssan.stack.sections.BAND_PIXELS", 2**18)
    row = np.random.default_rng(0).integers(0, 255, (3, 1, 1024), np.uint8)

    def peak(height: int) -> int:
        class Tall:
            shape, dtype = (3, height, 1024), np.dtype(np.uint8)

            def __getitem__(self, index):
                return np.broadcast_to(row, self.shape)[index].copy()

        tracemalloc.start()
        napari_ssan.repair(Tall(), [1], method="average", scratch=tmp_path)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # Up to four megapixels a section's grey values are measured in every pixel.
    assert peak(12 * 1024) < 1.1 * peak(4 * 1024)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: (np.full_like(v, 9), [4]), "no good slice"),
        (lambda v: (v, []), "Nothing is marked"),
        (lambda v: (v, range(9)), "Every slice"),
        (lambda v: (v, [9]), "not in the stack"),
        (lambda v: (v[:1], [0]), "single section"),
        (lambda v: (v[:, :20], [4]), "at least 32"),
    ],
)
def test_what_cannot_be_repaired_is_refused(volume, change, reason):
    data, defects = change(volume)
    with pytest.raises(BadInput, match=reason):
        napari_ssan.repair(data, defects, method="average")


def huge(path, tiny_model):
    """A model whose weights are finite, but not what it makes of sections."""
    model = load_model(tiny_model)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(1e30)
    save_model(path, model.network, {"tile": 64})
    return str(path)


@pytest.mark.parametrize("with_error", [True, False])
def test_tiles_that_are_not_finite_are_refused(volume, tmp_path, tiny_model, with_error):
    method = Network.load(huge(tmp_path / "huge.safetensors", tiny_model), "cpu")
    items = patches(SliceStack(volume), Marks({4}), method, with_error=with_error)
    with pytest.raises(BadInput, match="synthesis of slice 4 is infinite or NaN"):
        list(items)


class Watched:
    """Sections that tell when they are read, and can fail from then on."""

    def __init__(self, volume):
        self.volume, self.shape, self.dtype = volume, volume.shape, volume.dtype
        self.read: list[int] = []
        self.broken: int | None = None
        self.seen = {z: threading.Event() for z in range(len(volume))}

    def __getitem__(self, index):
        if index[0] == self.broken:
            raise OSError("the file is gone")
        self.read.append(index[0])
        self.seen[index[0]].set()
        return self.volume[index]


@pytest.fixture
def watched(monkeypatch):
    """A stack of three jobs, and what is called when a job is to be made, after its plan."""
    data = Watched(np.random.default_rng(0).integers(0, 255, (12, 64, 64)).astype(np.uint8))
    calls: list[Callable[[], None]] = []

    def planned(*arguments):
        jobs = plan(*arguments)
        for event in data.seen.values():
            event.clear()
        data.read.clear()
        return jobs

    def made(inputs, *arguments, **options):
        if calls:
            calls.pop(0)()
        return synthesize(inputs, *arguments, **options)

    monkeypatch.setattr("napari_ssan.engine.repair.plan", planned)
    monkeypatch.setattr("napari_ssan.engine.repair.synthesize", made)
    how = make_method("average", "", "cpu")
    return data, calls, patches(SliceStack(data), Marks({2, 6, 10}), how)


def test_the_next_job_is_read_meanwhile_and_no_further(watched):
    data, calls, items = watched
    slots = []
    for item in items:
        if isinstance(item, Progress):
            here = item.section
            if here < 10:
                assert data.seen[here + 5].wait(20)
            assert not set(data.read) & set(range(here + 6, 12))
        elif isinstance(item, Patch):
            slots.append(item.slot)
    assert slots == [(2, 0), (6, 0), (10, 0)]
    assert not calls


def test_an_error_of_reading_comes_with_its_own_job(watched):
    data, calls, items = watched
    calls.append(lambda: setattr(data, "broken", 7))
    found = []
    with pytest.raises(OSError, match="the file is gone"):
        found.extend(items)
    assert [item.slot for item in found if isinstance(item, Patch)] == [(2, 0)]


def test_whoever_stops_leaves_nothing_that_reads_on(watched):
    data, _, items = watched
    before = set(threading.enumerate())
    next(items)
    items.close()
    assert set(threading.enumerate()) <= before
    assert not data.seen[9].is_set()
