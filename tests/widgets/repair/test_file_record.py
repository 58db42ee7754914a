"""A repaired stack that is opened again: what is synthetic in it shows, and is not taken for real.

Covers: napari_ssan.widgets.repair.file_record, napari_ssan.plugin.readers
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari_builtins.io import napari_get_reader

from napari_ssan import repair
from napari_ssan.files import open_stack, save_stack
from napari_ssan.plugin.readers import get_reader
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

SPOT = Region.from_mask(np.ones((6, 9), bool), 20, 30)


@pytest.fixture
def exported(volume, tmp_path) -> Path:
    """Slice 4 was repaired as a whole, a spot of slice 7, and nothing else."""
    marks = Marks({4}, {7: [SPOT]})
    plain, path = tmp_path / "plain.tif", tmp_path / "export.ome.tif"
    tifffile.imwrite(plain, volume, photometric="minisblack")
    save_stack(path, repair(SliceStack(volume), marks, method="average"), open_stack(plain))
    return path


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def reopen(viewer, path, reader=get_reader):
    """As napari does: one layer after the other."""
    for data, *rest in reader(str(path))(str(path)):
        meta = rest[0] if rest else {}
        image = viewer.add_image(data, **meta)
        if not meta:
            image._source = image.source.model_copy(update={"path": str(path)})
    return viewer.layers[0]


def states(controller):
    return {row.marks: (row.kind, row.state) for row in controller.current.rows}


def caption(viewer):
    overlay = viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay
    return overlay.text if overlay.visible else ""


KNOWN = {((4, 0),): ("whole", "synthetic"), ((7, 0),): ("region", "synthetic")}


def test_without_a_dock_a_layer_shows_what_is_synthetic(viewer, exported):
    image = reopen(viewer, exported)
    assert [layer.name for layer in viewer.layers] == ["plain", "plain [synthetic pixels]"]
    overlay = viewer.layers[1]
    assert overlay.visible
    np.testing.assert_array_equal(overlay.scale, image.scale)
    expected = np.zeros(image.data.shape, np.uint8)
    expected[4] = 1
    expected[7, 20:26, 30:39] = 1
    np.testing.assert_array_equal(np.asarray(overlay.data), expected)


def test_a_stack_without_a_record_is_one_layer(viewer, exported):
    reopen(viewer, exported.parent / "plain.tif")
    assert len(viewer.layers) == 1


@pytest.mark.parametrize("dock_first", [True, False])
def test_caption_overlay_and_marks_come_back(viewer, exported, make_controller, dock_first):
    if dock_first:
        controller = make_controller(viewer)
        reopen(viewer, exported)
    else:
        reopen(viewer, exported)
        controller = make_controller(viewer)
    controller.finish()
    assert controller.current.image is viewer.layers[0]
    assert len(controller.view.header.stack) == 1
    assert states(controller) == KNOWN
    assert not controller.current.session.pending
    assert controller.view.looking.overlay.isChecked()
    viewer.dims.set_point(0, 4)
    assert caption(viewer).startswith("slice 4: synthetic, from 3 and 5")
    viewer.dims.set_point(0, 7)
    assert "synthetic, from 6 and 8" in caption(viewer)
    viewer.dims.set_point(0, 5)
    assert caption(viewer) == ""


def test_the_overlay_follows_the_checkbox_and_new_repairs(viewer, exported, make_controller):
    reopen(viewer, exported)
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    controller.repair()
    controller.finish()
    (overlay,) = [layer for layer in viewer.layers if "synthetic" in layer.name]
    seen = [bool(np.asarray(overlay.data[z]).any()) for z in range(10)]
    assert [z for z in range(10) if seen[z]] == [2, 4, 7]
    controller.view.looking.overlay.click()
    assert not any("synthetic" in layer.name for layer in viewer.layers)
    controller.view.looking.overlay.click()
    assert any("synthetic" in layer.name for layer in viewer.layers)


def test_the_overlay_of_the_reader_outlives_the_dock(viewer, exported, make_controller):
    reopen(viewer, exported)
    controller = make_controller(viewer)
    controller.close()
    assert any("synthetic" in layer.name for layer in viewer.layers)


def test_a_repair_does_not_take_a_synthetic_slice_for_real(viewer, exported, make_controller):
    reopen(viewer, exported)
    controller = make_controller(viewer)
    controller.current.session.mark([5])
    controller.repair()
    controller.finish()
    (record,) = controller.current.session.repaired.provenance.sections
    assert (record.section, record.neighbours) == (5, (3, 6))


def test_it_can_be_repaired_again_and_unmarked(viewer, exported, make_controller):
    reopen(viewer, exported)
    controller = make_controller(viewer)
    session = controller.current.session
    session.redo([(4, 0)])
    assert session.pending == {(4, 0)}
    controller.repair()
    controller.finish()
    assert session.state((4, 0)) == "synthesized"
    session.unmark([(7, 0)])
    assert (7, 0) not in session.marks


def test_nothing_is_offered_that_the_file_says_itself(viewer, exported, make_controller):
    reopen(viewer, exported)
    controller = make_controller(viewer)
    controller.current.session.mark([1])
    controller.close()
    second = ViewerModel()
    reopen(second, exported)
    controller = make_controller(second)
    assert str(controller.current.offer).startswith("1 mark")
    controller.current.answer(True)
    assert states(controller) == {((1, 0),): ("whole", "marked")} | KNOWN
    controller.current.session.unmark([(1, 0)])
    controller.close()
    third = ViewerModel()
    reopen(third, exported)
    controller = make_controller(third)
    assert controller.current.offer is None
    assert states(controller) == KNOWN


def test_a_file_that_napari_itself_has_opened_tells_it_too(viewer, exported, make_controller):
    reopen(viewer, exported, napari_get_reader)
    controller = make_controller(viewer)
    assert states(controller) == KNOWN
    viewer.dims.set_point(0, 4)
    assert caption(viewer).startswith("slice 4: synthetic")
    controller.view.looking.overlay.click()
    assert any("synthetic" in layer.name for layer in viewer.layers)
    assert not any("repaired" in layer.name for layer in viewer.layers)
