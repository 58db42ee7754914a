"""A pyramid is repaired: the result is one, too, and a step reads what is shown.

Covers: napari_ssan.widgets.repair.pyramid
"""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Layer

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.files.lazy import LazyArray
from napari_ssan.files.provenance_io import to_plain
from napari_ssan.files.write_zarr import halved
from napari_ssan.plugin.readers import get_reader
from napari_ssan.stack import lazy
from napari_ssan.stack.region import Region
from napari_ssan.volumes import repaired_levels

REGION = Region.from_mask(np.tri(20, 30, 5, dtype=bool), 20, 25)


def levels_of(volume, count=3):
    found = [volume]
    while len(found) < count:
        found.append(np.stack([halved(section) for section in found[-1]]))
    return found


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def path(volume, tmp_path):
    """An OME-Zarr image of three levels, of which section 7 is synthetic already."""
    made = SyntheticSection(
        section=7, kind="whole", share=1.0, neighbours=(6, 8), position=0.5, method="average"
    )
    group = zarr.create_group(tmp_path / "image.ome.zarr", zarr_format=3)
    for number, level in enumerate(levels_of(volume)):
        group.create_array(str(number), data=level, chunks=(1, 16, 16))
    datasets = [
        {
            "path": str(n),
            "coordinateTransformations": [{"type": "scale", "scale": [1, 2**n, 2**n]}],
        }
        for n in range(3)
    ]
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    image = {"axes": axes, "datasets": datasets, "name": "image"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    group.attrs["napari_ssan"] = to_plain(Provenance(sections=(made,)))
    return tmp_path / "image.ome.zarr"


@pytest.fixture
def controller(viewer, path, make_controller):
    for each in get_reader(str(path))(str(path)):
        viewer.add_layer(Layer.create(*each))
    made = make_controller(viewer)
    made.finish()
    return made


def repair(controller):
    session = controller.current.session
    session.mark([2])
    session.add_region(5, REGION)
    controller.repair()
    controller.finish()
    return session


def test_the_result_has_the_levels_of_the_original(viewer, controller):
    session = repair(controller)
    layer = controller.current.results.layer
    assert layer.multiscale
    for data, wanted in zip(layer.data, levels_of(np.asarray(session.repaired[:])), strict=True):
        np.testing.assert_array_equal(np.asarray(data), wanted)
    session.revert([(2, 0)])
    for data, wanted in zip(layer.data, levels_of(np.asarray(session.repaired[:])), strict=True):
        np.testing.assert_array_equal(np.asarray(data), wanted)
    assert (np.asarray(layer.data[1][2]) == np.asarray(controller.current.image.data[1][2])).all()


def test_means_of_large_patches_are_made_in_a_worker(viewer, controller, monkeypatch):
    monkeypatch.setattr(repaired_levels, "SMALL", 10)
    session = repair(controller)
    assert not any(level.wanted() for level in controller.current.results.pyramid.levels)
    layer = controller.current.results.layer
    for data, wanted in zip(layer.data, levels_of(np.asarray(session.repaired[:])), strict=True):
        np.testing.assert_array_equal(np.asarray(data), wanted)


def test_what_is_synthetic_is_tinted_at_all_levels(viewer, controller):
    repair(controller)
    tint = controller.current.results.overlays["synthetic"]  # the reader's, which was taken over
    assert tint.multiscale
    assert np.asarray(tint.data[2][7]).all()
    assert np.asarray(tint.data[2][2]).all()
    mask = np.zeros((64, 80), bool)
    mask[REGION.window] = REGION.mask
    np.testing.assert_array_equal(np.asarray(tint.data[1][5]), mask[::2, ::2])
    controller.current.results.show_overlay("error", True)
    glow = controller.current.results.overlays["error"]
    assert glow.multiscale
    assert np.asarray(glow.data[2][5]).any()


def test_sections_that_are_inserted_make_all_levels_longer(viewer, controller):
    session = controller.current.session
    session.set_missing(3, 2)
    controller.repair()
    controller.finish()
    layer = controller.current.results.layer
    assert [data.shape[0] for data in layer.data] == [12] * 3
    for data, wanted in zip(layer.data, levels_of(np.asarray(session.repaired[:])), strict=True):
        np.testing.assert_array_equal(np.asarray(data), wanted)


def test_another_dock_takes_the_layers_over(viewer, controller, make_controller):
    session = repair(controller)
    expected = np.asarray(session.repaired[:])
    controller.close()
    other = make_controller(viewer)
    other.finish()
    layer = other.current.results.layer
    np.testing.assert_array_equal(np.asarray(layer.data[1]), levels_of(expected)[1])
    assert len(viewer.layers) == 3  # the image, its tint, the result


def test_a_step_reads_what_is_shown_of_one_section(viewer, controller, monkeypatch):
    """napari takes the window of all sections of a level first, and then the section."""
    repair(controller)
    monkeypatch.setattr(lazy, "LARGEST_PEEL", 0)
    read, sizes = LazyArray.part, []

    def part(array, spans):
        pixels = read(array, spans)
        sizes.append(pixels.shape)
        return pixels

    monkeypatch.setattr(LazyArray, "part", part)
    for z in (3, 4, 5, 6):
        viewer.dims.set_point(0, z)
    assert sizes
    assert {shape[0] for shape in sizes} == {1}


def test_a_part_of_a_level_is_lazy_to_the_end(path, volume, monkeypatch):
    (data, meta, _), *_ = get_reader(str(path))(str(path))
    assert meta["multiscale"]
    monkeypatch.setattr(lazy, "LARGEST_PEEL", 0)
    part = data[0][:, 10:50:3, 5:]
    assert isinstance(part, lazy.Part)
    assert part.shape == (10, 14, 75)
    np.testing.assert_array_equal(np.asarray(part[2]), volume[2, 10:50:3, 5:])
    wanted = volume[1:9:2, 10:50:3, 9:][:, ::-1]
    np.testing.assert_array_equal(np.asarray(part[1:9:2, ::-1, 4:]), wanted)
    np.testing.assert_array_equal(np.asarray(part), volume[:, 10:50:3, 5:])
    assert np.asarray(part, np.float32).dtype == np.float32
