"""Chunks that are missing, and files that vanish, are told of; black sections are no neighbours."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from napari_ssan.engine.repair import repair
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.files import open_image, open_stack, read_provenance, save_stack
from napari_ssan.files.completeness import Chunks, ManyChunks
from napari_ssan.stack.marks import Marks
from napari_ssan.volumes.restore import restore
from napari_ssan.volumes.run import repair_in_place
from napari_ssan.volumes.slabs import How, Order, volume_of

LAYOUTS = {
    "v2": {"zarr_format": 2, "chunks": (1, 32, 32)},
    "v2 folders": {
        "zarr_format": 2,
        "chunks": (1, 32, 32),
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    "v3": {"chunks": (1, 32, 32)},
    "v3 flat": {
        "chunks": (1, 32, 32),
        "chunk_key_encoding": {"name": "default", "separator": "."},
    },
    "sharded": {"shards": (1, 64, 64), "chunks": (1, 32, 32)},
}


@pytest.fixture
def store(tmp_path, volume):
    def write(layout: str = "v3"):
        path = tmp_path / "in.zarr"
        zarr.create_array(path, data=volume() + np.uint8(1), **LAYOUTS[layout])
        return path

    return write


def chunk_files(path):
    known = ("zarr.json", ".zarray", ".zattrs")
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name not in known)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_chunks_are_counted(store, layout):
    path = store(layout)
    whole = open_stack(path)
    assert (whole.chunks.missing, whole.notes, whole.stack().incomplete) == (0, (), frozenset())
    files = chunk_files(path)
    per_section = len(files) // 6
    for file in files[4 * per_section :]:
        file.unlink()
    broken = open_stack(path)
    assert (broken.chunks.expected, broken.chunks.missing) == (len(files), 2 * per_section)
    assert f"lacks {2 * per_section} of its {len(files)} chunks" in broken.notes[0]
    assert broken.stack().incomplete == {4}  # section 5 lacks what no section beside it has
    assert not open_image(path).notes


def test_an_incomplete_section_is_no_neighbour(store):
    path = store()
    (path / "c/3/1/0").unlink()
    said = []
    report = lambda event: said.append(str(event)) if isinstance(event, Notice) else None  # noqa: E731
    repaired = repair(open_stack(path).stack(), [2], method="average", progress=report)
    assert repaired.provenance.sections[0].neighbours == (1, 4)
    assert any("Slice 3 lacks pixels in its file" in text for text in said)


def test_a_store_without_its_chunks_is_refused(store):
    path = store()
    shutil.rmtree(path / "c")
    with pytest.raises(BadInput, match="none of the 36 chunks"):
        open_stack(path)


def test_chunks_that_fit_the_shape_badly_are_refused():
    few = Chunks((10**6,) * 3, (1, 64, 64), frozenset({(0, 0, 0)}))
    assert few.lacking(0) == {1}
    assert few.expected == 10**6 * 15625**2


def test_an_empty_mask_needs_no_chunks(tmp_path):
    path = tmp_path / "in.zarr"
    zarr.create_array(path, data=np.zeros((6, 70, 50), np.uint8), chunks=(1, 32, 32))
    assert not np.asarray(open_image(path).data).any()


def test_thick_chunks(tmp_path, volume):
    path = tmp_path / "in.zarr"
    zarr.create_array(path, data=volume() + np.uint8(1), chunks=(4, 70, 50), zarr_format=2)
    (path / "1.0.0").unlink()
    assert open_stack(path).stack().incomplete == {4, 5}


def test_sections_along_another_axis(tmp_path, volume):
    path = tmp_path / "in.zarr"
    data = np.moveaxis(volume() + np.uint8(1), 0, 2)
    zarr.create_array(path, data=data, chunks=(35, 25, 1), dimension_names=["y", "x", "z"])
    (path / "c/1/1/2").unlink()
    assert open_stack(path).stack().incomplete == {2}


def test_hdf5(tmp_path, volume):
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("raw", volume().shape, "u1", chunks=(1, 70, 50))
        for z in (0, 1, 2, 4, 5):
            data[z] = volume()[z]
    file = open_stack(path)
    assert file.stack().incomplete == {3}
    assert "1 of its 6 chunks" in file.notes[0]
    file.data.close()
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", volume().shape, "u1", chunks=(1, 70, 50))
    with pytest.raises(BadInput, match="none of the 6 chunks"):
        open_stack(path)


def test_sources_of_a_virtual_dataset(tmp_path, volume):
    layout = h5py.VirtualLayout(volume().shape, "u1")
    (tmp_path / "parts").mkdir()
    for z in range(6):
        with h5py.File(tmp_path / f"parts/{z}.h5", "w") as file:
            file["raw"] = volume()[z]
        layout[z] = h5py.VirtualSource(f"parts/{z}.h5", "raw", (70, 50))
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("raw", layout)
    np.testing.assert_array_equal(open_stack(path).stack().read(4), volume()[4])
    (tmp_path / "parts/4.h5").unlink()
    with pytest.raises(BadInput, match=r"takes pixels from 'parts/4\.h5', which is missing"):
        open_stack(path)


def test_a_virtual_dataset_that_lacks_parts(tmp_path, volume):
    shape = volume().shape
    for z in range(6):
        with h5py.File(tmp_path / f"{z}.h5", "w") as file:
            file.create_dataset("raw", shape[1:], "u1", chunks=(35, 25))[:] = volume()[z]

    def write(gap: str) -> None:
        layout = h5py.VirtualLayout(shape, "u1")
        for z in range(6):
            source = h5py.VirtualSource(f"{z}.h5", "raw", shape[1:])
            if gap == "half of section 3" and z == 3:
                layout[z, :35] = source[:35]
            elif gap != "section 3" or z != 3:
                layout[z] = source
        with h5py.File(tmp_path / "in.h5", "w") as file:
            file.create_virtual_dataset("raw", layout)

    def lacking() -> tuple[set[int], str]:
        file = open_stack(tmp_path / "in.h5")
        file.data.close()
        return set(file.stack().incomplete), " ".join(file.notes)

    write("none")
    assert lacking() == (set(), "")
    for gap in ("section 3", "half of section 3"):
        write(gap)
        which, note = lacking()
        assert which == {3}
        assert "lacks 1 of its 6 chunks" in note
    write("none")
    with h5py.File(tmp_path / "4.h5", "w") as file:
        file.create_dataset("raw", shape[1:], "u1", chunks=(35, 25))[:35] = volume()[4, :35]
    assert lacking()[0] == {4}
    with h5py.File(tmp_path / "4.h5", "w") as file:
        file["raw"] = volume()[4, :35]  # shorter than the source that is named
    assert lacking()[0] == {4}
    with h5py.File(tmp_path / "4.h5", "w") as file:
        file["other"] = volume()[4]
    with pytest.raises(BadInput, match=r"4\.h5 holds no dataset 'raw'"):
        open_stack(tmp_path / "in.h5")


def test_sources_that_vanish_meanwhile(tmp_path, volume):
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["raw"] = volume()
    layout = h5py.VirtualLayout(volume().shape, "u1")
    layout[:] = h5py.VirtualSource("part.h5", "raw", volume().shape)
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.create_virtual_dataset("raw", layout)
    file = open_stack(tmp_path / "in.h5")
    assert [path.name for path in file.files] == ["in.h5", "part.h5"]
    (tmp_path / "part.h5").unlink()
    with pytest.raises(BadInput, match="has lost data"):
        save_stack(tmp_path / "out.tif", RepairedStack(file.stack()), file)


def test_pixels_outside_the_folder_of_an_hdf5_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(250)) * 40)
    (tmp_path / "folder").mkdir()
    for name, stored in (("in.h5", str(secret)), ("up.h5", "../secret")):
        path = tmp_path / "folder" / name
        with h5py.File(path, "w") as file:
            file.create_dataset("raw", (5, 40, 50), "u1", external=[(stored, 0, 10_000)])
        with pytest.raises(BadInput, match="outside its folder"):
            open_stack(path)


@pytest.mark.parametrize("output", ["out.tif", "out.ome.zarr"])
@pytest.mark.parametrize("what", ["a chunk", "the store", "the chunks"])
def test_what_vanishes_meanwhile_is_noticed_before_the_swap(store, tmp_path, output, what):
    path = store()
    file = open_stack(path)

    def vanish(done: int, total: int) -> None:
        if what == "a chunk":
            (path / "c/5/1/1").unlink(missing_ok=True)
        else:
            shutil.rmtree(path if what == "the store" else path / "c", ignore_errors=True)

    with pytest.raises(BadInput, match="has lost data"):
        save_stack(tmp_path / output, RepairedStack(file.stack()), file, progress=vanish)
    left = {p.name for p in tmp_path.iterdir()}
    assert left <= {"in.zarr"}


def test_what_is_added_meanwhile_does_not_matter(store, tmp_path):
    path = store()
    file = open_stack(path)
    (path / "notes.txt").write_text("more")
    save_stack(tmp_path / "out.tif", RepairedStack(file.stack()), file)
    assert open_stack(tmp_path / "out.tif").stack().shape == (6, 70, 50)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_that_are_too_many_to_list_are_looked_for_by_sections(store, layout, monkeypatch):
    path = store(layout)
    files = chunk_files(path)
    per_section = len(files) // 6
    for file in files[4 * per_section :]:
        file.unlink()
    (files[2 * per_section]).unlink()  # v2's come in another order than sections do
    few = open_stack(path).stack().incomplete
    monkeypatch.setattr("napari_ssan.files.completeness.MANY", per_section)
    looked = []
    monkeypatch.setattr(
        "napari_ssan.files.completeness._is_there",
        lambda folder, name: looked.append(name) or Path(folder, name).is_file(),
    )
    file = open_stack(path)
    assert (type(file.chunks), file.notes, looked) == (ManyChunks, (), [])
    many = file.stack().incomplete
    assert 2 in many
    assert len(looked) <= 3 * per_section
    assert many == few
    assert {9} | many == {9, *few}
    assert 99 not in many


def test_many_chunks_that_are_all_lost_are_refused(store, monkeypatch):
    monkeypatch.setattr("napari_ssan.files.completeness.MANY", 3)
    path = store()
    shutil.rmtree(path / "c")
    with pytest.raises(BadInput, match="none of the 36 chunks"):
        open_stack(path)


def test_what_was_too_much_to_count_is_watched_while_it_is_written(store, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_ssan.files.completeness.MANY", 3)
    path = store()
    file = open_stack(path)

    def vanish(done: int, total: int) -> None:
        (path / "c/5/1/1").unlink(missing_ok=True)

    with pytest.raises(BadInput, match="has lost data"):
        save_stack(tmp_path / "o.tif", RepairedStack(file.stack()), file, progress=vanish)


def test_many_missing_chunks_and_a_repair_in_place(store, monkeypatch):
    path = store()
    (path / "c/3/1/0").unlink()
    before = {p.name: p.read_bytes() for p in chunk_files(path)}
    few = repair_in_place(path, Marks({2, 3}), How("average"), str)
    wanted = [record.neighbours for record in read_provenance(path).sections]
    restore(path, str)
    monkeypatch.setattr("napari_ssan.files.completeness.MANY", 3)
    assert repair_in_place(path, Marks({2, 3}), How("average"), str).sections == few.sections
    assert [record.neighbours for record in read_provenance(path).sections] == wanted
    volume = volume_of(Order(path, few.backup, ""))
    assert 3 in volume.stack.incomplete  # its chunk is there by now, but was not
    restore(path, str)
    assert {p.name: p.read_bytes() for p in chunk_files(path)} == before
