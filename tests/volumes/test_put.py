"""Repaired pixels, as they were seen, into the volume itself, and back.

Covers: napari_ssan.volumes.given, napari_ssan.engine.patch_files
"""

from __future__ import annotations

import errno
from dataclasses import replace

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from napari_ssan.cli import app
from napari_ssan.engine.patch_files import store_patch
from napari_ssan.engine.repair import repair
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Stage
from napari_ssan.files import open_stack, read_provenance
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.objects import OURS
from napari_ssan.volumes.put import put_in_place
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.status import status

from .conftest import AVERAGE, KINDS, content, levels_of, pyramid

TRIANGLE = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)


def say(item: object) -> None:
    pass


def looked_at(path, marks, value=7):
    """A repair that nobody would synthesize: pixels of one value, and some noise."""
    made = repair(open_stack(path).stack(), marks, method="average")
    random = np.random.default_rng(1)
    ours = RepairedStack(open_stack(path).stack())
    for slot in made.slots:
        for patch in made.patches(slot):
            noise = random.integers(value, value + 3, patch.pixels.shape)
            ours.add(replace(patch, pixels=noise.astype(np.uint8)))
    return ours


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_that_were_seen_are_those_that_are_written(make, volume, kind):
    path = make(kind)
    before = content(path)
    ours = looked_at(path, Marks({3, 7}, {5: [TRIANGLE]}))
    expected = np.asarray(ours)
    assert put_in_place(path, ours, say).sections == (3, 5, 7)
    for found, wanted in zip(levels_of(path), pyramid(expected, KINDS[kind][3]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [r.section for r in read_provenance(path).sections] == [3, 5, 7]
    now = status(path)
    assert (now.done, now.restorable, now.finished) == ((3, 5, 7), (3, 5, 7), True)
    assert sorted(p.name for p in now.backup.iterdir()) == ["journal.jsonl", OURS, "objects"]
    assert restore(path, say) == {3, 5, 7}
    assert content(path) == before


def test_what_an_earlier_run_has_repaired_of_a_section_stays(make):
    path = make("0.5 sharded")
    before = content(path)
    corner = Region.from_mask(np.ones((20, 20), bool), 2, 3)
    repair_in_place(path, Marks(regions={5: [corner]}), AVERAGE, say)
    synthesized = levels_of(path)[0]
    ours = looked_at(path, Marks(regions={5: [TRIANGLE]}))
    put_in_place(path, ours, say)
    wanted = synthesized.copy()
    wanted[5][TRIANGLE.window][TRIANGLE.mask] = np.asarray(ours)[5][TRIANGLE.window][TRIANGLE.mask]
    np.testing.assert_array_equal(levels_of(path)[0], wanted)
    np.testing.assert_array_equal(levels_of(path)[1], pyramid(wanted)[1])
    assert [r.method for r in read_provenance(path).sections] == ["average", "average"]
    put_in_place(path, looked_at(path, Marks(regions={5: [TRIANGLE]}), 30), say)  # once more
    assert len(read_provenance(path).sections) == 2
    assert levels_of(path)[0][5][TRIANGLE.window][TRIANGLE.mask].min() == 30
    assert restore(path, say, {5}) == {5}
    assert content(path) == before


@pytest.mark.parametrize("by", ["put", "resume"])
def test_what_was_cancelled_is_gone_on_with(make, by):
    path = make("0.5 thick")
    before = content(path)
    ours = looked_at(path, Marks({1, 7, 12}))

    def stop(item: object) -> None:
        if isinstance(item, Stage) and "slice 7" in item.text:
            raise Cancelled

    with pytest.raises(Cancelled):
        put_in_place(path, ours, stop)
    now = status(path)
    assert now.given
    assert now.left
    with pytest.raises(BadInput, match="has not come to its end"):
        repair_in_place(path, Marks({3}), AVERAGE, say)
    expected = np.asarray(ours)
    if by == "put":
        put_in_place(path, ours, say)
    else:  # somebody else, who has only the volume and its originals
        done = CliRunner().invoke(app, ["repair", str(path), "--in-place", "--resume"])
        assert done.exit_code == 0, done.output
    for found, wanted in zip(levels_of(path), pyramid(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    restore(path, say)
    assert content(path) == before


def test_what_cannot_be_put_is_refused_and_nothing_is_changed(make, tmp_path, volume):
    path = make()
    before = content(tmp_path)
    inserted = looked_at(path, Marks({3}, missing={5: 1}))
    with pytest.raises(BadInput, match="Slices were inserted"):
        put_in_place(path, inserted, say)
    ours = looked_at(path, Marks({3}))
    with Claim(path, say), pytest.raises(BadInput, match="is being changed by process"):
        put_in_place(path, ours, say)
    other = make(name="other.ome.zarr")
    zarr.open_array(other / "0", mode="r+")[3] = 0
    with pytest.raises(BadInput, match="does not show the pixels of other"):
        put_in_place(other, ours, say)
    assert {k: v for k, v in content(tmp_path).items() if not k.startswith("other")} == before


@pytest.mark.parametrize("repaired", [False, True])
def test_a_disk_without_room_for_the_pixels_changes_nothing(make, tmp_path, monkeypatch, repaired):
    path = make("0.5 thick")
    if repaired:
        repair_in_place(path, Marks({12}), AVERAGE, say)
    ours = looked_at(path, Marks({1, 7}))
    before, room = content(tmp_path), []

    def full(patch, folder):
        if room:
            raise OSError(errno.ENOSPC, "No space left on device")
        room.append(patch)
        return store_patch(patch, folder)

    monkeypatch.setattr("napari_ssan.volumes.given.store_patch", full)
    with pytest.raises(OSError, match="the disk is full"):
        put_in_place(path, ours, say)
    assert room
    assert content(tmp_path) == before


def test_lost_pixels_are_a_sentence(make):
    path = make("0.5 thick")
    ours = looked_at(path, Marks({1, 7}))

    def stop(item: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        put_in_place(path, ours, stop)
    for file in (status(path).backup / "given").glob("*.npy"):
        file.unlink()
    outcome = repair_in_place(path, Marks(), AVERAGE, say, resume=True)
    assert {why.split(" are not")[0] for _, why in outcome.failed} == {"The pixels to be written"}
