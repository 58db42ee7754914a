import errno
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import napari_ssan
from napari_ssan.engine.provenance import Provenance
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.files import (
    Calibration,
    error_path,
    mask_path,
    open_image,
    open_stack,
    read_provenance,
    save_stack,
    write_tiff,
    write_zarr,
)
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack

ENDINGS = [".tif", ".ome.tif", ".ome.zarr"]
FLAVOURS = ["imagej", "ome-tiff", "tiff", "zarr", "ome-zarr-0.4", "ome-zarr-0.5", "folder"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_unmarked_pixels_are_bit_identical(tmp_path, make, repair, volume, flavour, ending, dtype):
    file = open_stack(make(flavour, dtype))
    repaired = repair(file.stack())
    path = tmp_path / f"out{ending}"
    assert save_stack(path, repaired, file) == [path]
    again = np.asarray(open_stack(path).data)
    synthetic = np.zeros(again.shape, bool)
    synthetic[2] = True
    synthetic[4, 10:15, 20:26] = True
    assert again.dtype == dtype
    np.testing.assert_array_equal(again[~synthetic], volume(dtype)[~synthetic])
    assert (again[synthetic] == 7).all()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("dtype", ["int16", "float64"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_other_pixels(tmp_path, make, repair, dtype, ending):
    file = open_stack(make("tiff", dtype))
    repaired = repair(file.stack())
    save_stack(tmp_path / f"out{ending}", repaired, file)
    again = open_stack(tmp_path / f"out{ending}").data
    assert again.dtype == dtype
    np.testing.assert_array_equal(np.asarray(again), np.asarray(repaired))


@pytest.mark.parametrize("flavour", ["imagej", "ome-tiff", "tiff", "ome-zarr-0.5"])
def test_provenance_comes_back_and_grows(tmp_path, make, repair, flavour):
    ending = ".zarr" if "zarr" in flavour else ".tif"
    file = open_stack(make(flavour))
    assert file.provenance is None
    repaired = repair(file.stack())
    first, second = tmp_path / f"first{ending}", tmp_path / f"second{ending}"
    save_stack(first, repaired, file)
    assert read_provenance(first) == repaired.provenance
    again = open_stack(first)
    save_stack(second, repair(again.stack(), inserted=True), again)
    kinds = [(r.section, r.kind) for r in read_provenance(second).sections]
    assert kinds == [(2, "whole"), (4, "inserted"), (5, "region"), (5, "region")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_mask_of_synthetic_pixels(tmp_path, make, repair, ending):
    file = open_stack(make("imagej"))
    path = tmp_path / f"out{ending}"
    written = save_stack(path, repair(file.stack(), inserted=True), file, mask=True)
    assert written == [path, mask_path(path), tmp_path / "out.sections.csv"]
    mask = np.asarray(open_image(written[1]).data)
    expected = np.zeros((7, 70, 50), np.uint8)
    expected[[2, 4]] = 255
    expected[5, 10:15, 20:26] = 255
    np.testing.assert_array_equal(mask, expected)
    assert open_image(written[1]).calibration.scale == (40, 4, 4)


@pytest.mark.parametrize("ending", ENDINGS)
def test_map_of_expected_errors(tmp_path, make, repair, ending):
    file = open_stack(make("imagej"))
    repaired = repair(file.stack(), inserted=True)
    errors = np.linspace(1, 9, 30, dtype=np.float32).reshape(5, 6)
    (patch,) = repaired.revert((4, 0))
    repaired.add(replace(patch, error=errors))
    path = tmp_path / f"out{ending}"
    written = save_stack(path, repaired, file, error=True)
    assert written == [path, error_path(path), tmp_path / "out.sections.csv"]
    again = open_image(written[1])
    found = np.asarray(again.data)
    expected = np.zeros((7, 70, 50), np.float32)
    expected[[2, 4]] = np.nan  # nothing is known of those
    expected[5, 10:15, 20:26] = errors
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    assert again.calibration.scale == (40, 4, 4)
    assert again.calibration.axes[-3:] == "zyx"


def test_map_of_expected_errors_knows_of_an_earlier_repair(tmp_path, make, repair):
    file = open_stack(make("tiff"))
    save_stack(tmp_path / "a.tif", repair(file.stack(), inserted=True), file)
    again = open_stack(tmp_path / "a.tif")
    repaired = repair(again.stack())
    (patch,) = repaired.revert((2, 0))
    repaired.add(replace(patch, error=np.full(patch.pixels.shape, 3, np.float32)))
    both = {"mask": True, "error": tmp_path / "e.ome.zarr"}
    written = save_stack(tmp_path / "b.tif", repaired, again, **both)
    assert [path.name for path in written] == ["b.tif", "b.synthetic.tif", "e.ome.zarr"]
    found = np.asarray(open_image(tmp_path / "e.ome.zarr").data)
    assert (found[2] == 3).all()
    expected = np.zeros(found.shape[1:], bool)
    expected[10:15, 20:26] = True
    assert np.isnan(found[4]).all()
    np.testing.assert_array_equal(np.isnan(found[5]), expected)


@pytest.mark.parametrize(
    "name", ["out.ome.zarr", "out.ome.zarr/error.tif", "out.synthetic.ome.zarr"]
)
def test_outputs_need_places_of_their_own(tmp_path, make, repair, name):
    file = open_stack(make("tiff"))
    (tmp_path / "out.ome.zarr").mkdir()
    zarr.create_group(tmp_path / "out.ome.zarr", overwrite=True)
    with pytest.raises(BadInput, match="a place of its own"):
        save_stack(
            tmp_path / "out.ome.zarr",
            repair(file.stack()),
            file,
            overwrite=True,
            mask=True,
            error=tmp_path / name,
        )


def test_mask_knows_of_an_earlier_repair(tmp_path, make, repair):
    file = open_stack(make("tiff"))
    save_stack(tmp_path / "a.tif", repair(file.stack(), inserted=True), file)
    again = open_stack(tmp_path / "a.tif")
    save_stack(tmp_path / "b.tif", repair(again.stack()), again, mask=tmp_path / "m.tif")
    expected = np.zeros((7, 70, 50), np.uint8)
    expected[[2, 4]] = 255
    expected[4:6, 10:15, 20:26] = 255  # a region then, and now that of the section before
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "m.tif").data), expected)


def test_mask_tells_corrected_pixels_from_synthetic_ones(tmp_path, make, repair):
    file = open_stack(make("tiff"))
    save_stack(tmp_path / "a.tif", repair(file.stack()), file)
    again = open_stack(tmp_path / "a.tif")
    marks = Marks({1, 4}, corrected={1, 4})
    corrected = napari_ssan.repair(again.stack(), marks, method="average")
    save_stack(tmp_path / "b.tif", corrected, again, mask=tmp_path / "m.tif")
    expected = np.zeros((6, 70, 50), np.uint8)
    expected[[1, 4]] = 128
    expected[2] = 255
    expected[4, 10:15, 20:26] = 255  # synthetic before, so it still is
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "m.tif").data), expected)
    said = open_stack(tmp_path / "b.tif").provenance
    assert [(each.section, each.corrected) for each in said.sections] == [
        (1, True), (2, False), (4, False), (4, True),
    ]  # fmt: skip
    assert said.numbers == {2, 4}
    last = open_stack(tmp_path / "b.tif")
    save_stack(tmp_path / "c.tif", repair(last.stack()), last, mask=tmp_path / "n.tif")
    mask = np.asarray(open_image(tmp_path / "n.tif").data)
    assert (mask[1] == 128).all()


@pytest.mark.parametrize("region", [None, {"shape": "large"}, {"outline": [[900, 900]] * 3}])
def test_a_section_with_an_unknown_region_counts_as_synthetic(tmp_path, make, repair, region):
    file = open_stack(make("tiff"))
    earlier = repair(file.stack()).provenance
    unknown = [r.model_copy(update={"region": region}) for r in earlier.sections if r.section == 4]
    calibration = replace(file.calibration, provenance=Provenance(sections=tuple(unknown)))
    untouched = RepairedStack(file.stack())
    save_stack(tmp_path / "b.tif", untouched, calibration, mask=True, error=True)
    mask, errors = (open_image(name(tmp_path / "b.tif")).data for name in (mask_path, error_path))
    assert [z for z in range(6) if np.asarray(mask)[z].all()] == [4]
    assert [z for z in range(6) if np.isnan(np.asarray(errors)[z]).all()] == [4]


@pytest.mark.parametrize("ending", ENDINGS)
def test_sections_stream(tmp_path, repair, volume, counting, monkeypatch, ending):
    source = counting(volume())
    monkeypatch.setattr(write_tiff, "BAND_PIXELS", 1000)
    monkeypatch.setattr(write_zarr, "BAND_PIXELS", 1000)
    monkeypatch.setattr(write_zarr, "CHUNK", 16)
    monkeypatch.setattr(write_zarr, "SMALLEST_LEVEL", 20)
    repaired = repair(SliceStack(source))
    save_stack(tmp_path / f"out{ending}", repaired, Calibration.of("zyx", z_axis=0))
    # section 2 is replaced as a whole
    np.testing.assert_array_equal(source.pixels, np.array([1, 1, 0, 1, 1, 1]) * 70 * 50)
    assert source.most <= 1000


@pytest.mark.parametrize("ending", ENDINGS)
def test_progress(tmp_path, repair, volume, ending):
    told = []
    save_stack(
        tmp_path / f"out{ending}",
        repair(SliceStack(volume())),
        Calibration.of("zyx", z_axis=0),
        mask=True,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 12) for done in range(1, 13)]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mask", [False, True])
def test_cancelled(tmp_path, repair, volume, ending, mask):
    path = tmp_path / f"out{ending}"
    cancel = threading.Event()

    def progress(done, total):
        if done == total - 2:
            cancel.set()

    arguments = (path, repair(SliceStack(volume())), Calibration.of("zyx", z_axis=0))
    with pytest.raises(Cancelled):
        save_stack(*arguments, mask=mask, progress=progress, cancel=cancel)
    assert not list(tmp_path.iterdir())
    save_stack(*arguments)
    before = np.asarray(open_stack(path).data)
    with pytest.raises(Cancelled):
        save_stack(path, np.zeros_like(before), arguments[2], overwrite=True, cancel=cancel)
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), before)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ENDINGS)
def test_interrupted(tmp_path, volume, ending):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_stack(
            tmp_path / f"out{ending}",
            volume(),
            Calibration.of("zyx", z_axis=0),
            progress=interrupt,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_full_disk(tmp_path, volume, ending, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / f"out{ending}"
    calibration = Calibration.of("zyx", z_axis=0)
    save_stack(path, volume(), calibration)
    if "zarr" in ending:
        monkeypatch.setattr(zarr.storage.LocalStore, "set", full)
    else:
        monkeypatch.setattr(tifffile.FileHandle, "write", full)
    for target in (path, tmp_path / f"new{ending}"):
        with pytest.raises(BadInput, match="the disk is full"):
            save_stack(target, volume() + 1, calibration, overwrite=True)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(np.asarray(open_stack(path).data), volume())


def test_input_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path, volume, counting):
    class Gone(counting):
        def __getitem__(self, index):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(BadInput, match="The input cannot be read"):
        save_stack(tmp_path / "a.tif", Gone(volume()), Calibration.of("zyx", z_axis=0))
    assert not list(tmp_path.iterdir())


def test_the_input_is_not_overwritten(make, repair):
    file = open_stack(make("imagej"))
    before = file.path.read_bytes()
    with pytest.raises(BadInput, match="is the input itself"):
        save_stack(file.path, repair(file.stack()), file, overwrite=True)
    assert file.path.read_bytes() == before


def test_no_file_of_the_input_is_overwritten(tmp_path, ome_set, repair):
    first, second = ome_set(0, 1)
    file = open_stack(first)
    before = second.read_bytes()
    for arguments in ({"path": second}, {"path": tmp_path / "out.tif", "mask": second}):
        with pytest.raises(BadInput, match="is another file that is read"):
            save_stack(**arguments, stack=repair(file.stack()), source=file, overwrite=True)
    assert second.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [first, second]


@pytest.mark.parametrize("existing", [False, True])
def test_no_mask_without_its_output(tmp_path, repair, volume, monkeypatch, existing):
    path = tmp_path / "out.tif"
    paths = [path, mask_path(path)] if existing else []
    for one in paths:
        one.write_text("old")
    rename = Path.rename

    def fail(this, target):
        if target == path and this.name == path.name:
            raise PermissionError(errno.EACCES, "denied")
        return rename(this, target)

    monkeypatch.setattr(Path, "rename", fail)
    arguments = (path, repair(SliceStack(volume())), Calibration.of("zyx", z_axis=0))
    with pytest.raises(
        BadInput,
        match=r"out\.tif and .*out\.synthetic\.tif could not be written: permission is denied",
    ):
        save_stack(*arguments, overwrite=True, mask=True)
    assert set(tmp_path.iterdir()) == set(paths)
    assert all(one.read_text() == "old" for one in paths)


def test_pixels_that_are_not_written(tmp_path):
    with pytest.raises(BadInput, match="bool"):
        save_stack(tmp_path / "a.tif", np.zeros((3, 8, 8), bool), Calibration.of("zyx", z_axis=0))


def test_what_a_killed_run_left_is_removed_with_a_warning(tmp_path, volume):
    part = tmp_path / ".out.tif.0123456789abcdef.part"
    part.mkdir()
    (part / ".lock").touch()
    with pytest.warns(UserWarning, match="that a killed run had left was removed"):
        save_stack(tmp_path / "out.tif", volume(), Calibration.of("zyx", z_axis=0))
    assert list(tmp_path.iterdir()) == [tmp_path / "out.tif"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder_that_is_removed_while_it_is_written_to_is_noticed(tmp_path, volume, ending):
    folder = tmp_path / "outputs"
    folder.mkdir()

    def remove(done, total):
        if done == 3:
            shutil.rmtree(folder)

    source = Calibration.of("zyx", z_axis=0)
    with pytest.raises(BadInput, match="could not be written"):
        save_stack(folder / f"out{ending}", volume(), source, progress=remove)
    assert not list(folder.glob("*"))
