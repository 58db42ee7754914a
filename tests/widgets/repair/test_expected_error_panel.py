"""The fold "Expected error", and the layer that it shows."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssan.engine.expected_error import scale_end
from napari_ssan.files import open_stack
from napari_ssan.plugin.writers import write
from napari_ssan.stack import lazy

MAP = "em [expected error]"


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def controller(viewer, volume, make_controller):
    viewer.add_image(volume, scale=(30, 4, 4), units="nm", axis_labels=("z", "y", "x"), name="em")
    return make_controller(viewer)


def repair(controller, *sections):
    controller.current.session.mark(sections)
    controller.repair()
    controller.finish()


def at(viewer, z):
    viewer.dims.set_point(0, z * 30)


def test_it_is_folded_away_at_first(controller):
    panel = controller.view.expected_error
    assert panel.content.isHidden()
    panel.line.click()
    assert not panel.content.isHidden()
    assert not panel.map.isEnabled()
    assert panel.sentence.text() == "Nothing on this slice is synthetic."


def test_a_sentence_follows_the_slice_on_screen(viewer, controller):
    repair(controller, 2, 9)
    sentence = controller.view.expected_error.sentence
    at(viewer, 2)
    assert sentence.text().startswith("Slice 2: expected error ")
    assert "trust" in sentence.text()
    at(viewer, 9)
    assert sentence.text().endswith("it is a copy of one slice.")
    at(viewer, 4)
    assert sentence.text() == "Nothing on this slice is synthetic."


def test_the_map_is_a_layer_over_the_result(viewer, controller):
    repair(controller, 2)
    panel = controller.view.expected_error
    panel.map.click()
    layer = viewer.layers[MAP]
    assert viewer.layers.index(layer) == viewer.layers.index("em [repaired]") + 1
    colours = layer.colormap.map(np.array([0.0, 0.3, 0.6, 1.0, np.nan]))
    assert not colours[:2, 3].any()
    assert 0 < colours[2, 3] < colours[3, 3]
    assert colours[4, 2] > colours[4, 0]
    assert layer.colorbar.visible
    assert layer.data.dtype == np.float32
    np.testing.assert_array_equal(layer.scale, (30, 4, 4))
    assert (layer.data[2] > 0).all()
    assert not layer.data[3].any()
    end = scale_end(controller.current.session.repaired)
    assert layer.contrast_limits == [0, pytest.approx(end)]
    assert not panel.bar.isHidden()
    assert panel.scale.text() == (
        f"From 0 over {end / 2:g} to {end:g} grey values and more. Blue: unknown."
    )
    assert panel.map.isChecked()
    controller.show_before(True)
    assert not layer.visible
    controller.show_before(False)
    assert layer.visible
    panel.map.click()
    assert MAP not in viewer.layers
    assert not panel.map.isChecked()


def test_both_overlays_can_be_shown(viewer, controller):
    repair(controller, 2)
    controller.view.expected_error.map.click()
    controller.view.looking.overlay.click()
    assert {MAP, "em [synthetic pixels]"} <= {layer.name for layer in viewer.layers}
    controller.view.looking.overlay.click()
    assert MAP in viewer.layers
    viewer.layers.remove("em [repaired]")
    assert MAP not in viewer.layers


def test_a_map_that_the_user_deletes_is_let_go(viewer, controller):
    repair(controller, 2)
    panel = controller.view.expected_error
    panel.map.click()
    viewer.layers.remove(MAP)
    assert not panel.map.isChecked()
    panel.map.click()
    assert MAP in viewer.layers


def test_later_repairs_are_seen_in_it(viewer, controller):
    repair(controller, 2)
    controller.view.expected_error.map.click()
    layer = viewer.layers[MAP]
    before = layer.contrast_limits
    controller.current.session.set_missing(5, 1)
    repair(controller, 7)
    assert layer.data.shape == (11, 64, 80)
    assert (layer.data[:][[2, 6, 8]] > 0).all()
    assert layer.extent.data[1][0] == 10
    assert layer.contrast_limits == before  # the scale is the same for all slices


def test_of_a_copy_there_is_a_map_that_shows_nothing(viewer, controller):
    repair(controller, 9)
    controller.view.expected_error.map.click()
    layer = viewer.layers[MAP]
    at(viewer, 9)
    assert np.isnan(layer.data[9]).all()
    assert layer.contrast_limits == [0, 1]


def test_closing_the_dock_takes_the_map_away(viewer, controller):
    repair(controller, 2)
    controller.view.expected_error.map.click()
    controller.close()
    assert "em [repaired]" in viewer.layers
    assert MAP not in viewer.layers


def test_in_3d_nothing_too_large_is_read(viewer, controller, monkeypatch):
    repair(controller, 2)
    controller.view.expected_error.map.click()
    layer = viewer.layers[MAP]
    monkeypatch.setattr(lazy, "LARGEST_ARRAY", 100_000)
    viewer.dims.ndisplay = 3
    assert layer.data[:, :, :].shape == (1, 1, 1)
    assert layer.data[2, 3, 4].shape == ()
    viewer.dims.ndisplay = 2
    assert layer.data[2].shape == (64, 80)


@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_the_layer_can_be_saved_by_itself(viewer, controller, tmp_path, ending):
    repair(controller, 2)
    controller.view.expected_error.map.click()
    layer = viewer.layers[MAP]
    path = tmp_path / f"map{ending}"
    data, meta, _ = layer.as_layer_data_tuple()
    write(str(path), data, meta)
    written = open_stack(path)
    np.testing.assert_array_equal(np.asarray(written.data), layer.data[:])
    assert written.calibration.scale == pytest.approx((30, 4, 4))
