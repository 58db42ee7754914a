"""Repairs in place, whatever the store looks like, and back again.

Covers: napari_ssan.volumes.slabs, napari_ssan.volumes.restore
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.repair import repair
from napari_ssan.errors import BadInput
from napari_ssan.files import Calibration, read_provenance, save_stack
from napari_ssan.network.model_file import load_model, save_model
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.volumes.objects import Objects
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.slabs import Gone, How

from .conftest import AVERAGE, KINDS, attributes, content, levels_of, pyramid


def marks() -> Marks:
    region = Region.from_mask(np.tri(30, 40, 5, dtype=bool), 37, 51)
    return Marks({3, 7, 8}, {5: [region], 11: [region]})


def say(text: object) -> None:
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_in_place_as_to_an_output_and_back(make, volume, kind):
    path = make(kind)
    before = content(path)
    expected = np.asarray(repair(volume, marks(), method="average"))
    outcome = repair_in_place(path, marks(), AVERAGE, say)
    assert outcome.sections == (3, 5, 7, 8, 11)
    assert outcome.failed == ()
    for found, wanted in zip(levels_of(path), pyramid(expected, KINDS[kind][3]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    records = read_provenance(path).sections
    assert [(r.section, r.kind) for r in records] == [
        (3, "whole"), (5, "region"), (7, "whole"), (8, "whole"), (11, "region")
    ]  # fmt: skip
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, f"{path.name}.originals"]
    assert restore(path, say) == {3, 5, 7, 8, 11}
    assert content(path) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["0.4 thick", "0.5 halved along z", "0.5 sharded"])
def test_only_objects_with_synthetic_pixels_change(make, kind):
    path = make(kind)
    before = content(path)
    repair_in_place(path, Marks(regions={5: [Region(70, 10, np.ones((9, 9), bool))]}), AVERAGE, say)
    after = content(path)
    changed = {name for name in after if before.get(name) != after[name]}
    metadata = {name for name in changed if name.startswith((".z", "zarr.json"))}
    assert len(metadata) == 1
    assert len(changed - metadata) == 3  # one a level
    assert changed == {
        str(name.relative_to(path.with_name(f"{path.name}.originals") / "objects"))
        for name in path.with_name(f"{path.name}.originals").rglob("objects/**/*")
        if name.is_file()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_some_slices_are_restored(make, volume, kind):
    path = make(kind)
    before = content(path)
    both = Marks({3, 7}, {8: marks().regions[5]})
    repair_in_place(path, both, AVERAGE, say)
    restore(path, say, {3, 8})
    left = np.asarray(repair(volume, both, method="average"))
    left[[3, 8]] = volume[[3, 8]]
    for found, wanted in zip(levels_of(path), pyramid(left, KINDS[kind][3]), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [record.section for record in read_provenance(path).sections] == [7]
    with pytest.raises(BadInput, match="Slice 3 was not repaired in place; restorable are: 7"):
        restore(path, say, {3})
    repair_in_place(path, Marks({3}), AVERAGE, say)  # what was restored can be repaired again
    left[3] = np.asarray(repair(volume, Marks({3, 7}), method="average"))[3]
    np.testing.assert_array_equal(levels_of(path)[0], left)
    assert restore(path, say, {7, 3}) == {3, 7}
    assert content(path) == before


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded, halved along z"])
def test_what_was_repaired_before_is_no_neighbour(make, volume, kind):
    path = make(kind)
    before = content(path)
    repair_in_place(path, Marks({3}), AVERAGE, say)
    repair_in_place(path, Marks({4}), AVERAGE, say)
    first, second = read_provenance(path).sections
    assert (first.neighbours, second.neighbours) == ((2, 4), (2, 5))
    expected = np.asarray(repair(volume, Marks({3, 4}), method="average"))
    np.testing.assert_array_equal(levels_of(path)[0][4], expected[4])
    repair_in_place(path, Marks({3}), How("copy"), say)  # in another way
    assert [r.method for r in read_provenance(path).sections] == ["copy", "average"]
    restore(path, say)
    assert content(path) == before


@pytest.mark.parametrize("version", [2, 3])
def test_a_bare_array_with_sections_along_its_last_axis(tmp_path, volume, version):
    path = tmp_path / "bare.zarr"
    data = volume.transpose(1, 2, 0)[None]
    names = list("tyxz")
    options = {"dimension_names": names} if version == 3 else {}
    array = zarr.create_array(
        path, data=data, chunks=(1, 64, 64, 2), zarr_format=version, **options
    )
    if version == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = names
    before = content(path)
    repair_in_place(path, marks(), AVERAGE, say)
    found = np.asarray(zarr.open_array(path, mode="r"))[0].transpose(2, 0, 1)
    np.testing.assert_array_equal(found, np.asarray(repair(volume, marks(), method="average")))
    assert len(read_provenance(path).sections) == 5
    restore(path, say)
    assert content(path) == before


def test_chunks_that_were_not_there_go_again(make, volume):
    path = make("0.5")
    for file in (path / "0/c/7").rglob("*"):
        if file.is_file():
            file.unlink()
    before = content(path)
    blank = volume.copy()
    blank[7] = 0
    repair_in_place(path, Marks({7}), AVERAGE, say)
    np.testing.assert_array_equal(
        levels_of(path)[0], np.asarray(repair(blank, Marks({7}), method="average"))
    )
    restore(path, say)
    assert content(path) == before


def test_a_record_from_before_stays(make, tmp_path, volume):
    path = make("0.5")
    first = Provenance(sections=(record(2), record(7)))
    group = zarr.open_group(path)
    group.attrs["napari_ssan"] = first.model_dump(mode="json")
    zarr.consolidate_metadata(path)
    before = content(path)
    repair_in_place(path, Marks({7}), AVERAGE, say)
    assert [r.method for r in read_provenance(path).sections] == ["tvl1", "average"]
    consolidated = zarr.open_consolidated(path).attrs["napari_ssan"]
    assert [each["method"] for each in consolidated["sections"]] == ["tvl1", "average"]
    restore(path, say)
    assert content(path) == before


def record(z: int) -> SyntheticSection:
    return SyntheticSection(
        section=z, kind="whole", share=1, neighbours=(z - 1, z + 1), position=0.5, method="tvl1"
    )


def test_consolidated_metadata_of_version_2(make):
    path = make("0.4")
    zarr.consolidate_metadata(path, zarr_format=2)
    before = content(path)
    repair_in_place(path, Marks({7}), AVERAGE, say)
    assert zarr.open_consolidated(path, zarr_format=2).attrs["napari_ssan"]["sections"]
    restore(path, say)
    assert content(path) == before


def test_metadata_that_somebody_changed_meanwhile_stay(make):
    path = make("0.5")
    before = content(path)
    repair_in_place(path, Marks({7}), AVERAGE, say)
    zarr.open_group(path).attrs["mine"] = 1
    restore(path, say)
    assert attributes(path).keys() == {"ome", "mine"}
    changed = {name for name, digest in content(path).items() if before.get(name) != digest}
    assert changed == {"zarr.json"}


def test_originals_elsewhere(make, tmp_path):
    path = make("0.5")
    before = content(path)
    elsewhere = tmp_path / "disk" / "kept"
    repair_in_place(path, Marks({7}), AVERAGE, say, backup=elsewhere)
    with pytest.raises(BadInput, match="leave --backup out"):
        repair_in_place(path, Marks({8}), AVERAGE, say, backup=tmp_path / "other")
    moved = elsewhere.rename(tmp_path / "moved")
    with pytest.raises(BadInput, match="say with --backup where they are"):
        restore(path, say)
    other = make("0.5 halved along z", "other.ome.zarr")
    repair_in_place(other, Marks({7}), AVERAGE, say)
    with pytest.raises(BadInput, match="are not those of"):
        restore(path, say, backup=other.with_name(f"{other.name}.originals"))
    repair_in_place(path, Marks({8}), AVERAGE, say, backup=moved)
    restore(path, say)
    assert content(path) == before
    assert not moved.exists()


@pytest.mark.parametrize("kind", ["0.4", "0.5"])
def test_attributes_that_are_not_json_come_back_to_the_byte(make, kind):
    path = make(kind)
    metadata = path / {"0.4": ".zattrs", "0.5": "zarr.json"}[kind]
    content_then = json.loads(metadata.read_text())
    attributes = content_then if kind == "0.4" else content_then["attributes"]
    attributes |= {"_FillValue": float("nan"), "most": float("inf")}
    metadata.write_text(json.dumps(content_then))
    before = content(path)
    repair_in_place(path, Marks({3}), AVERAGE, say)
    assert "NaN" in metadata.read_text()
    restore(path, say)
    assert content(path) == before


def test_only_folders_of_originals_are_removed(make, tmp_path):
    path, theirs = make("0.5"), tmp_path / "lab"
    for name in ("objects/o.txt", "scratch/thesis.tex"):
        (theirs / name).parent.mkdir(parents=True)
        (theirs / name).write_text("mine")
    before = content(theirs)
    with pytest.raises(BadInput, match="is in use for something else"):
        repair_in_place(path, Marks({3}), AVERAGE, say, backup=theirs)
    with pytest.raises(BadInput, match="is in use for something else"):
        restore(path, say, backup=theirs)
    assert content(theirs) == before
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="was not repaired in place"):
        restore(path, say, backup=empty)
    repair_in_place(path, Marks({3}), AVERAGE, say, backup=empty)
    (empty / "notes.txt").write_text("mine")
    restore(path, say)
    assert [*content(empty)] == ["notes.txt"]


def test_what_is_refused(make, tmp_path, monkeypatch, volume):
    path = make("0.5")
    before = content(path)
    with pytest.raises(BadInput, match="cannot be inserted in place"):
        repair_in_place(path, Marks(missing={3: 1}), AVERAGE, say)
    with pytest.raises(BadInput, match="give the path of the image"):
        repair_in_place(path / "0", Marks({3}), AVERAGE, say)
    nested = zarr.create_group(tmp_path / "nested.zarr")
    nested.create_array("scale0/image", data=volume)
    scales = [{"datasets": [{"path": "scale0/image"}], "axes": ["z", "y", "x"]}]
    nested.attrs["multiscales"] = scales
    with pytest.raises(BadInput, match="give the path of the image"):
        repair_in_place(tmp_path / "nested.zarr/scale0/image", Marks({3}), AVERAGE, say)
    with pytest.raises(BadInput, match="is no zarr store"):
        repair_in_place(tmp_path, Marks({3}), AVERAGE, say)
    with pytest.raises(BadInput, match="no run to go on with"):
        repair_in_place(path, Marks(), AVERAGE, say, resume=True)
    with pytest.raises(BadInput, match="There is no method"):
        repair_in_place(path, Marks({3}), How("magic"), say)
    with pytest.raises(BadInput, match="must not lie in the volume"):
        repair_in_place(path, Marks({3}), AVERAGE, say, backup=path / "kept")
    with pytest.raises(BadInput, match="is in use for something else"):
        repair_in_place(path, Marks({3}), AVERAGE, say, backup=Path(__file__).parent)
    with pytest.raises(BadInput, match="was not repaired in place"):
        restore(path, say)
    access = os.access  # to root everything is writable
    monkeypatch.setattr("os.access", lambda p, mode: Path(p) != path / "1" and access(p, mode))
    with pytest.raises(BadInput, match="cannot be written to"):
        repair_in_place(path, Marks({3}), AVERAGE, say)
    monkeypatch.undo()
    odd = zarr.create_group(tmp_path / "odd.zarr")
    for number, shape in enumerate([(9, 60, 60), (9, 20, 20)]):
        odd.create_array(str(number), shape=shape, dtype="u1", fill_value=7)[:] = 8
    image = {"datasets": [{"path": "0"}, {"path": "1"}], "axes": ["z", "y", "x"]}
    odd.attrs["ome"] = {"multiscales": [image]}
    with pytest.raises(BadInput, match=r"Level 1 of odd\.zarr is no halving"):
        repair_in_place(tmp_path / "odd.zarr", Marks({3}), AVERAGE, say)
    assert content(path) == before
    assert not list(tmp_path.glob(".*"))
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "odd.zarr", "nested.zarr"}


def test_a_slab_that_fails_is_tried_three_times_and_left_as_it_was(make, volume):
    path = make("0.5 thick")
    before = content(path)
    bad = path / "0/c/2/0/0"  # slices 8 to 11
    good = bad.read_bytes()
    bad.write_bytes(b"rubbish")
    said = []
    outcome = repair_in_place(path, Marks({3, 9}), AVERAGE, said.append)
    assert outcome.sections == (3,)
    assert [sections for sections, _ in outcome.failed] == [(9,)]
    assert any("Slice 9 has failed" in str(each) for each in said)
    assert [r.section for r in read_provenance(path).sections] == [3]
    with pytest.raises(BadInput, match="go on with it"):
        repair_in_place(path, Marks({3}), AVERAGE, say)
    bad.write_bytes(good)
    with pytest.raises(BadInput, match="repeat its command"):
        repair_in_place(path, Marks({3, 9}), How("copy"), say, resume=True)
    with pytest.raises(BadInput, match="repeat its command"):
        repair_in_place(path, Marks({3}), AVERAGE, say, resume=True)
    outcome = repair_in_place(path, Marks({3, 9}), AVERAGE, say, resume=True)
    assert (outcome.sections, outcome.failed) == ((3, 9), ())
    expected = np.asarray(repair(volume, Marks({3, 9}), method="average"))
    for found, wanted in zip(levels_of(path), pyramid(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    restore(path, say)
    assert content(path) == before


@pytest.mark.parametrize("kind", ["0.4", "0.5", "0.5 sharded"])
def test_a_damaged_chunk_of_a_slice_that_is_marked_is_no_obstacle(make, volume, kind):
    path, whole = make(kind), make(kind, "whole.ome.zarr")
    array = zarr.open_array(path / "0", mode="r")
    name = array.metadata.encode_chunk_key((9 // (array.shards or array.chunks)[0], 0, 1))
    damaged = path / "0" / name
    stored = bytearray(damaged.read_bytes())
    if array.shards:  # the inner chunks of slice 9 only, which is the second in its shard
        index = np.frombuffer(stored[-4 - 16 * 4 * 4 : -4], "<u8").reshape(-1, 2)
        grid = index.reshape(4, -1, 2)
        for start, length in grid[1]:
            if length < 2**63:
                stored[start : start + length] = b"x" * length
    else:
        stored[:] = b"rubbish"
    damaged.write_bytes(stored)
    before = content(path)
    outcome = repair_in_place(path, Marks({3, 9}), AVERAGE, say)
    assert (outcome.sections, outcome.failed) == ((3, 9), ())
    repair_in_place(whole, Marks({3, 9}), AVERAGE, say)
    for found, wanted in zip(levels_of(path), levels_of(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)
    restore(path, say)
    assert content(path) == before


def test_a_slab_that_fails_while_it_writes_is_taken_back(make, volume, monkeypatch):
    path = make("0.5 sharded")
    before = content(path)
    put, count = Objects.put, []

    def full(self, name, new):
        if name.startswith("0/") and "originals" not in name and len(count) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", name)
        count.append(name)
        put(self, name, new)

    monkeypatch.setattr(Objects, "put", full)
    outcome = repair_in_place(path, Marks({3}), AVERAGE, say)
    assert outcome.failed == (((3,), "the disk is full"),)
    monkeypatch.undo()
    after = content(path)
    repair_in_place(path, Marks(), AVERAGE, say, resume=True)
    assert (levels_of(path)[0][3] != volume[3]).any()
    restore(path, say)
    assert content(path) == before
    assert {n for n in after if after[n] != before[n]} <= {"zarr.json", "0/c/0/0/0"}


def test_a_volume_that_vanishes_ends_the_run(make, tmp_path):
    path = make("0.5")
    calls = []

    def tell(item):
        calls.append(item)
        if str(item).startswith("repaired slice 3"):
            path.rename(tmp_path / "away")

    with pytest.raises(Gone, match="not there any more"):
        repair_in_place(path, Marks({3, 7, 9}), AVERAGE, tell)
    (tmp_path / "away").rename(path)
    assert repair_in_place(path, Marks(), AVERAGE, say, resume=True).sections == (3, 7, 9)


def test_other_weights_are_not_gone_on_with(make, tiny_model, tmp_path):
    path = make("0.5 thick")
    model = tmp_path / "mine.safetensors"
    model.write_bytes(Path(tiny_model).read_bytes())
    (path / "0/c/2/0/0").write_bytes(b"rubbish")
    how = How("ssan", str(model))
    assert repair_in_place(path, Marks({9}), how, say).failed
    network = load_model(str(model)).network
    save_model(model, network, {"tile": 64, "note": "another"})
    with pytest.raises(Gone, match="not those that the run began with"):
        repair_in_place(path, Marks(), how, say, resume=True)


def test_what_we_have_written_ourselves(tmp_path, volume, monkeypatch):
    monkeypatch.setattr("napari_ssan.files.write_zarr.SMALLEST_LEVEL", 40)
    path = tmp_path / "image.ome.zarr"
    save_stack(path, volume, Calibration.of("zyx", flavour="zarr", name="image"))
    before = content(path)
    assert len(zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]["datasets"]) == 3
    for _ in range(2):  # with blosc, too, the bytes are always the same
        repair_in_place(path, marks(), AVERAGE, say)
        after = content(path)
        restore(path, say)
        assert content(path) == before
    repair_in_place(path, marks(), AVERAGE, say)
    assert content(path) == after
    expected = np.asarray(repair(volume, marks(), method="average"))
    for found, wanted in zip(levels_of(path), pyramid(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", ["0.4", "0.5 sharded"])
def test_others_read_it_and_take_the_originals_for_no_image(make, volume, kind):
    reader = pytest.importorskip("napari_ome_zarr").napari_get_reader
    path = make(kind)
    repair_in_place(path, marks(), AVERAGE, say)
    yaozarrs.validate_zarr_store(str(path))
    ((data, *_),) = reader(str(path))(str(path))
    expected = np.asarray(repair(volume, marks(), method="average"))
    for found, wanted in zip(data, pyramid(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(found), wanted)
    assert reader(f"{path}.originals") is None
