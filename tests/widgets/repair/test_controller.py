"""The dock in a viewer model: everything but the canvas.

Covers: napari_ssan.widgets.repair.drawing, napari_ssan.widgets.repair.keys,
    napari_ssan.widgets.repair.layer_work,
    napari_ssan.widgets.repair.many_marks, napari_ssan.widgets.repair.marks_tools,
    napari_ssan.widgets.repair.model_list, napari_ssan.widgets.repair.presenter,
    napari_ssan.widgets.repair.result_layers, napari_ssan.widgets.repair.stack_controller,
    napari_ssan.widgets.repair.open_stacks, napari_ssan.widgets.repair.preloading,
    napari_ssan.widgets.shared.stacks,
    napari_ssan.session.kept_method, napari_ssan.session.standing,
    napari_ssan.widgets.repair.export_work
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QItemSelectionModel
from qtpy.QtWidgets import QApplication

from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.repaired import Patch, RepairedStack
from napari_ssan.engine.stored import StoredArray
from napari_ssan.events import Progress
from napari_ssan.files import open_stack, provenance_io
from napari_ssan.network.model_library import delete, import_model
from napari_ssan.session import jobs, journal, kept_method, sidecar
from napari_ssan.session.rates import Rates
from napari_ssan.stack import lazy
from napari_ssan.widgets.repair import presenter, result_layers, review
from napari_ssan.widgets.shared.library import LIBRARY
from napari_ssan.widgets.shared.sessions import SESSIONS


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(
        volume, scale=(30, 4, 4), units="nm", axis_labels=("z", "y", "x"), name="em"
    )


@pytest.fixture
def controller(viewer, image, make_controller):
    return make_controller(viewer)


def at(viewer, z):
    viewer.dims.set_point(0, z * 30)


def press(viewer, key):
    """What napari does when a key is pressed; what it does when it is let go."""
    from napari.utils.key_bindings import KeymapHandler

    handler = KeymapHandler()
    handler.keymap_providers = [viewer]
    assert handler.press_key(key)
    return lambda: handler.release_key(key)


def states(controller):
    return {row.marks: row.state for row in controller.current.rows}


def repair(controller):
    controller.repair()
    controller.finish()


# ---- choosing


def test_an_empty_viewer_offers_the_sample(viewer, make_controller, monkeypatch):
    opened = []
    monkeypatch.setattr(ViewerModel, "open_sample", lambda self, *which: opened.append(which))
    controller = make_controller(viewer)
    assert controller.view.header.message.text() == "Open a stack, or try the sample."
    assert not controller.view.marking.isEnabled()
    controller.view.header.sample.click()
    assert opened == [("napari-ssan", "synthetic")]


def test_it_follows_the_active_layer(viewer, image, controller, volume):
    other = viewer.add_image(volume, name="other")
    assert controller.view.header.stack.currentText() == "other"
    first = controller.current
    viewer.layers.selection.active = image
    assert controller.view.header.stack.currentText() == "em"
    assert controller.current is not first
    viewer.add_points(ndim=3)
    assert controller.view.header.stack.currentText() == "em"
    controller.view.header.stack.setCurrentIndex(1)
    controller.view.header.stack.activated.emit(1)
    assert viewer.layers.selection.active == other
    assert controller.current is first


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((8, 8), np.uint8), "2-D"),
        (np.zeros((5, 8, 8, 3), np.uint8), "RGB"),
        (np.zeros((2, 5, 8, 8), np.uint8), "one channel"),
        (np.zeros((5, 8, 8), np.int64), "int64"),
    ],
)
def test_what_is_no_stack_is_refused_in_a_sentence(
    viewer, make_controller, data, said, notifications
):
    controller = make_controller(viewer)
    viewer.add_image(data)
    assert said in controller.view.header.message.text()
    assert not controller.view.marking.isEnabled()
    press(viewer, "W")
    assert said in notifications[-1].message


def test_the_tooltip_tells_of_the_stack(controller):
    tip = controller.view.header.info.toolTip()
    assert "10 × 64 × 80" in tip
    assert "30 × 4 × 4 nm" in tip
    assert "uint8" in tip


# ---- marking


def test_the_key_marks_the_slice_on_screen(viewer, controller):
    at(viewer, 6)
    assert controller.view.marking.mark.text() == "Mark slice 6 (W)"
    press(viewer, "W")
    assert states(controller) == {((6, 0),): "marked"}
    assert controller.view.marking.mark.text() == "Unmark slice 6 (W)"
    press(viewer, "W")
    assert not states(controller)


def type_slices(controller, text):
    controller.view.marking.slices.field.setText(text)
    controller.view.marking.slices.field.returnPressed.emit()


def test_slices_are_marked_by_their_numbers(viewer, controller, notifications):
    type_slices(controller, "7, 2-3")
    assert states(controller) == {((2, 0), (3, 0)): "marked", ((7, 0),): "marked"}
    assert controller.view.marking.slices.field.text() == ""
    assert viewer.dims.point[0] == 7 * 30
    for wrong, said in (("4, 99", "has slices 0 to 9"), ("4;5", "write slices as in")):
        type_slices(controller, wrong)
        assert said in notifications[-1].message
        assert controller.view.marking.slices.field.text() == wrong
    assert len(states(controller)) == 2
    viewer.dims.ndisplay = 3  # no slice is on screen, and none is needed
    type_slices(controller, "5")
    assert len(states(controller)) == 3
    press(viewer, "Shift-W")
    assert "3-D view" in notifications[-1].message


def test_a_range_goes_from_the_slice_that_was_marked_last(viewer, controller):
    at(viewer, 6)
    press(viewer, "W")
    at(viewer, 3)
    press(viewer, "Shift-W")
    assert list(states(controller)) == [((3, 0), (4, 0), (5, 0), (6, 0))]
    at(viewer, 2)
    press(viewer, "Shift-W")
    assert len(controller.current.session.marks.whole) == 5
    press(viewer, "W")
    at(viewer, 9)
    press(viewer, "Shift-W")
    assert controller.current.session.marks.whole == {3, 4, 5, 6, 9}


def test_keys_go_from_mark_to_mark(viewer, controller):
    at(viewer, 0)
    press(viewer, "K")
    assert viewer.dims.point[0] == 0
    controller.current.session.mark([2, 7])
    controller.current.session.set_missing(4, 2)
    repair(controller)
    seen = []
    at(viewer, 0)
    for key in "KKKKJ":
        press(viewer, key)
        seen.append(controller.current.results.slot_on_screen())
    assert seen == [(2, 0), (4, 1), (7, 0), (2, 0), (7, 0)]


@pytest.fixture
def asked(controller):
    """The questions before repaired slices go, which are answered with yes."""
    seen = []
    controller.view.ask_lose = lambda count, verb: seen.append((verb, count)) is None
    return seen


def test_all_are_accepted_and_reverted_at_once(viewer, controller, asked):
    tools = controller.view.marking.tools
    assert not tools.accept.isEnabled()
    type_slices(controller, "1,3,5")
    repair(controller)
    controller.current.session.mark([7])
    tools.accept.click()
    assert list(states(controller).values()) == ["accepted"] * 3 + ["marked"]
    assert not tools.accept.isEnabled()
    tools.revert.click()
    assert asked == [("Revert", 3)]
    assert list(states(controller).values()) == ["reverted"] * 3 + ["marked"]
    tools.undo.click()
    assert list(states(controller).values()) == ["accepted"] * 3 + ["marked"]
    assert viewer.layers["em [repaired]"].data[3].any()


def test_selected_rows_are_accepted_reverted_unmarked(controller, asked):
    type_slices(controller, "1,3,5,7")
    repair(controller)
    marking = controller.view.marking

    def select(*lines):
        marking.table.clearSelection()
        for line in lines:
            marking.table.selectionModel().select(
                marking.table.model().index(line, 0),
                QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows,
            )

    select(0, 2)
    assert marking.tools.accept.text() == "Accept 2"
    marking.tools.accept.click()
    assert list(states(controller).values()) == ["accepted", "synthesized"] * 2
    select(1, 2)
    marking.tools.revert.click()
    assert list(states(controller).values()) == ["accepted", "reverted", "reverted", "synthesized"]
    select(3)
    marking.table.delete_pressed.emit()
    select(0, 1)
    marking.table.delete_pressed.emit()
    assert states(controller) == {((5, 0),): "reverted"}
    assert asked == [("Revert", 2)]


def test_nothing_that_loses_several_repairs_goes_unasked(controller):
    type_slices(controller, "2-6")
    repair(controller)
    seen, before = [], states(controller)
    controller.view.ask_lose = lambda count, verb: seen.append((verb, count))
    for action in ("revert", "unmark"):
        controller.view.marking.table.asked.emit(action, 0)
    controller.view.marking.tools.revert.click()
    controller.view.marking.tools.undo.click()
    assert seen == [("Revert", 5), ("Unmark", 5), ("Revert", 5), ("Undo", 5)]
    assert states(controller) == before


def test_keys_undo_and_redo(viewer, controller, circle):
    undo, redo = "Control-Z", "Control-Shift-Z"
    controller.toggle_lasso(True)
    layer = viewer.layers["Marks"]
    layer.add_polygons(circle(6))
    controller.finish()
    type_slices(controller, "2")
    repair(controller)
    controller.view.marking.table.asked.emit("unmark", 1)
    assert not layer.data
    press(viewer, undo)
    assert states(controller) == {((2, 0),): "synthesized", ((6, 0),): "synthesized"}
    assert len(layer.data) == 1
    controller.accept()
    for _ in range(3):
        press(viewer, undo)
    assert not layer.data
    assert not states(controller)
    tools = controller.view.marking.tools
    assert tools.redo.toolTip() == "Redo: lasso (Ctrl+Shift+Z)"
    assert not tools.undo.isEnabled()
    for _ in range(3):
        press(viewer, redo)
    assert states(controller) == {((2, 0),): "accepted", ((6, 0),): "synthesized"}
    assert len(layer.data) == 1


def test_the_key_of_labels_is_theirs_while_they_are_selected(viewer, controller, volume):
    from napari.utils.key_bindings import KeymapHandler

    controller.current.session.mark([2])
    labels = viewer.add_labels(np.zeros(volume.shape, np.uint8))
    labels.fill((0, 0, 0), 1)
    handler = KeymapHandler()
    handler.keymap_providers = [labels, viewer]
    handler.press_key("Control-Z")
    assert not labels.data.any()
    assert states(controller)


def test_a_drawn_region_enters_the_table_and_leaves_it(viewer, controller, circle):
    press(viewer, "G")
    layer = viewer.layers["Marks"]
    assert controller.view.marking.lasso.isChecked()
    layer.add_polygons([circle(6), circle(3)])
    controller.finish()
    assert list(states(controller)) == [((3, 0),), ((6, 0),)]
    assert 0.03 < controller.current.rows[0].share < 0.05
    layer.selected_data = {0}
    layer.remove_selected()
    assert list(states(controller)) == [((3, 0),)]
    controller.view.marking.table.asked.emit("unmark", 0)
    assert not layer.data
    assert not states(controller)
    press(viewer, "G")
    assert not controller.view.marking.lasso.isChecked()


def test_an_outline_beside_the_image_is_refused(viewer, controller, circle, notifications):
    press(viewer, "G")
    viewer.layers["Marks"].add_polygons(circle(3, y=-50))
    controller.finish()
    assert "holds no pixel" in notifications[-1].message
    assert not states(controller)


def test_a_click_goes_to_the_slice(viewer, controller):
    controller.current.session.mark([7])
    at(viewer, 1)
    controller.view.marking.table.asked.emit("go", 0)
    assert viewer.dims.point[0] == 7 * 30


def test_missing_sections_are_asked_for(viewer, controller):
    at(viewer, 4)
    controller.view.ask_missing = lambda z, known: 2
    controller.ask_missing()
    assert [(row.kind, row.count) for row in controller.current.rows] == [("missing", 2)]
    controller.view.ask_missing = lambda z, known: 0 if known == 2 else 9
    controller.ask_missing()
    assert not controller.current.rows
    at(viewer, 9)
    assert not controller.view.marking.missing.isEnabled()


def test_patches_without_values_are_repaired_and_the_rest_of_the_slice_is_kept(
    viewer, make_controller, volume
):
    data = volume.astype(np.float32)
    data[5, 10:20, 30:50] = np.nan  # 4 %
    viewer.add_image(data, contrast_limits=(0, 255))
    controller = make_controller(viewer)
    controller.current.review.inspect()
    controller.finish()
    find = controller.current.review.suggestions.open[0]
    assert (find.z, find.kind, find.p) == (5, "missing", 1.0)
    controller.current.review.accept()
    row = next(row for row in controller.current.rows if row.marks == ((5, 0),))
    assert (row.kind, row.count) == ("region", 1)
    repair(controller)
    made = np.asarray(controller.current.session.repaired[5])
    assert np.isfinite(made).all()
    good = np.isfinite(data[5])
    unmarked = controller.current.session.marks.mask(5, (slice(0, 64), slice(0, 80)))
    np.testing.assert_array_equal(made[good & ~unmarked], data[5][good & ~unmarked])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dims: setattr(dims, "ndisplay", 3), "3-D view"),
        (lambda dims: dims.roll(), "roll the dimensions"),
    ],
)
def test_views_without_slices_say_what_to_do(viewer, controller, change, said, notifications):
    change(viewer.dims)
    assert said in controller.view.marking.hint.text()
    assert not controller.view.marking.mark.isEnabled()
    press(viewer, "W")
    press(viewer, "G")
    assert not states(controller)
    assert all(said in each.message for each in notifications)
    assert len(notifications) == 2


# ---- repairing


def test_repair_adds_a_layer_over_an_untouched_original(viewer, image, controller, volume, circle):
    image.contrast_limits, image.gamma, image.colormap = (10, 200), 0.8, "magma"
    original = volume.copy()
    controller.current.session.mark([2])
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    layer = viewer.layers["em [repaired]"]
    assert viewer.layers.index(layer) == 1
    for name in ("scale", "translate", "units", "axis_labels", "contrast_limits", "gamma"):
        assert list(np.atleast_1d(getattr(layer, name))) == list(
            np.atleast_1d(getattr(image, name))
        )
    assert layer.colormap.name == "magma"
    assert layer.dtype == image.dtype
    assert not layer.multiscale
    assert layer.data.volume is controller.current.session.repaired
    assert (volume == original).all()
    changed = np.asarray(layer.data) != original
    assert set(np.flatnonzero(changed.any(axis=(1, 2)))) == {2, 6}
    assert not changed[6, 50:].any()
    assert set(states(controller).values()) == {"synthesized"}
    sections = layer.metadata["napari_ssan"]["synthetic"]["sections"]
    assert [record["section"] for record in sections] == [2, 6]


def test_what_is_selected_stays_selected(viewer, controller, circle):
    controller.toggle_lasso(True)
    marks = viewer.layers["Marks"]
    marks.add_polygons(circle(6))
    controller.finish()
    controller.toggle_lasso(False)
    viewer.layers.selection.active = marks
    repair(controller)
    assert viewer.layers.selection.active == marks


def test_before_and_after(viewer, controller):
    controller.current.session.mark([2])
    repair(controller)
    layer = viewer.layers["em [repaired]"]
    let_go = press(viewer, "H")
    assert not layer.visible
    assert controller.view.looking.before.text() == "Show after (H)"
    let_go()
    assert layer.visible
    controller.view.looking.before.click()
    assert not layer.visible
    layer.visible = True
    assert not controller.view.looking.before.isChecked()


def test_the_corner_says_what_is_synthetic(viewer, controller, circle):
    overlay = viewer.canvas.overlays.text
    overlay.text, overlay.visible = "mine", True
    controller.current.session.mark([2])
    repair(controller)
    at(viewer, 2)
    assert overlay.text == "slice 2: synthetic, from 1 and 3 · not accepted yet"
    controller.show_before(True)
    assert overlay.text == "slice 2: the original"
    at(viewer, 4)
    assert overlay.text == "mine"
    at(viewer, 2)
    controller.close()
    assert (overlay.text, overlay.visible) == ("mine", True)


def test_the_corner_tells_the_kinds_of_slices_apart(viewer, controller, circle):
    overlay, session = viewer.canvas.overlays.text, controller.current.session
    session.mark([2, 9])
    seen = {}

    def look(z):
        at(viewer, z)
        seen[overlay.text] = tuple(overlay.box_color)

    look(2)
    repair(controller)
    look(2)
    look(9)
    controller.accept()
    look(9)
    at(viewer, 5)
    assert not overlay.visible
    assert list(seen) == [
        "slice 2: marked, not repaired yet",
        "slice 2: synthetic, from 1 and 3 · not accepted yet",
        "slice 9: copied, from 8 · not accepted yet",
        "slice 9: copied, from 8 · accepted",
    ]
    assert len(set(seen.values())) == 4


def test_accept_and_revert(viewer, controller, volume):
    controller.current.session.mark([2, 6])
    repair(controller)
    at(viewer, 2)
    looking = controller.view.looking
    assert looking.accept.text() == "Accept 2"
    looking.accept.click()
    assert states(controller) == {((2, 0),): "accepted", ((6, 0),): "synthesized"}
    assert not looking.accept.isEnabled()
    looking.revert.click()
    assert (viewer.layers["em [repaired]"].data[2] == volume[2]).all()
    assert not looking.revert.isEnabled()
    table = controller.view.marking.table
    table.asked.emit("revert", 1)
    assert set(states(controller).values()) == {"reverted"}
    table.asked.emit("redo", 0)
    assert controller.view.repairing.repair.text() == "Repair 1 mark"
    repair(controller)
    assert states(controller)[((2, 0),)] == "synthesized"


def test_inserted_sections_make_the_result_longer(viewer, controller, volume, asked):
    at(viewer, 4)
    controller.current.session.set_missing(4, 2)
    controller.current.session.mark([7])
    repair(controller)
    layer = viewer.layers["em [repaired]"]
    assert layer.data.shape == (12, 64, 80)
    assert layer.extent.data[1][0] == 11
    at(viewer, 9)
    assert controller.view.marking.mark.text() == "Unmark slice 7 (W)"
    assert "slice 7" in viewer.canvas.overlays.text.text
    controller.show_before(True)
    assert viewer.dims.point[0] == 7 * 30
    controller.show_before(False)
    assert viewer.dims.point[0] == 9 * 30
    at(viewer, 5)
    assert "inserted" in controller.view.marking.hint.text()
    assert not controller.view.marking.mark.isEnabled()
    assert viewer.canvas.overlays.text.text.startswith("between 4 and 5, 1 of 2: synthetic")
    controller.view.looking.revert.click()
    assert asked == [("Revert", 2)]
    assert layer.data.shape == (10, 64, 80)
    assert layer.extent.data[1][0] == 9


def test_the_end_of_a_stack_that_got_longer_is_as_good_as_the_rest(viewer, controller):
    controller.current.session.set_missing(7, 2)
    controller.current.session.mark([9])
    repair(controller)
    at(viewer, 11)
    assert controller.view.marking.hint.text() == ""
    assert viewer.canvas.overlays.text.text.startswith("slice 9: copied, from 8")
    controller.view.looking.accept.click()
    assert states(controller)[((9, 0),)] == "accepted"
    at(viewer, 9)
    assert "inserted between 7 and 8, 2 of 2" in controller.view.marking.hint.text()


def test_the_table_says_where_on_the_slider_a_mark_is(viewer, controller):
    table, slider = controller.view.marking.table, 5
    controller.current.session.mark([3, 9])
    assert table.isColumnHidden(slider)
    controller.current.session.set_missing(7, 2)
    repair(controller)
    assert not table.isColumnHidden(slider)
    assert [table.item(line, slider).text() for line in range(3)] == ["3", "8–9", "11"]
    for line, place in enumerate((3, 8, 11)):
        table.asked.emit("go", line)
        assert viewer.dims.point[0] == place * 30


def test_the_slider_follows_a_section_that_others_are_inserted_before(viewer, controller):
    controller.current.session.mark([6])
    repair(controller)
    at(viewer, 6)
    controller.current.session.set_missing(2, 2)
    repair(controller)
    assert viewer.dims.point[0] == 8 * 30
    assert controller.current.results.slot_on_screen() == (6, 0)


def test_drawing_on_a_longer_result_goes_to_the_original(viewer, controller, circle):
    controller.current.session.set_missing(2, 1)
    repair(controller)
    at(viewer, 7)
    controller.toggle_lasso(True)
    assert not viewer.layers["em [repaired]"].visible
    assert viewer.dims.point[0] == 6 * 30


def test_outlines_are_not_shown_over_other_sections_than_their_own(viewer, controller, circle):
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    controller.toggle_lasso(False)
    controller.current.session.set_missing(2, 1)
    repair(controller)
    assert not viewer.layers["Marks"].visible
    controller.show_before(True)
    assert viewer.layers["Marks"].visible
    controller.show_before(False)
    controller.current.session.revert([(2, 1)])
    assert viewer.layers["Marks"].visible


def test_the_overlay_tints_what_is_synthetic(viewer, controller):
    controller.current.session.mark([2])
    repair(controller)
    controller.view.looking.overlay.click()
    overlay = viewer.layers["em [synthetic pixels]"]
    assert overlay.data.shape == (10, 64, 80)
    assert overlay.data[2].all()
    assert not overlay.data[3].any()
    controller.show_before(True)
    assert not overlay.visible
    controller.view.looking.overlay.click()
    assert overlay not in viewer.layers


def test_a_large_result_is_hidden_in_3d(viewer, controller, monkeypatch, notifications):
    controller.current.session.mark([2])
    repair(controller)
    layer = viewer.layers["em [repaired]"]
    viewer.dims.ndisplay = 3
    assert layer.visible
    viewer.dims.ndisplay = 2
    for module in (result_layers, lazy):
        monkeypatch.setattr(module, "LARGEST_ARRAY", 1000)
    monkeypatch.setattr(RepairedStack, "part", lambda self, spans: pytest.fail("it was loaded"))
    viewer.dims.ndisplay = 3
    assert not layer.visible
    assert "hidden in 3-D" in notifications[-1].message
    monkeypatch.undo()
    viewer.dims.ndisplay = 2
    assert layer.visible


def test_a_pyramid_is_repaired_at_full_resolution(viewer, make_controller, volume):
    viewer.add_image([volume, volume[:, ::2, ::2]], multiscale=True, name="pyramid")
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    repair(controller)
    assert viewer.layers["pyramid [repaired]"].data.shape == volume.shape


def test_the_network_repairs_and_says_where_it_runs(
    viewer, controller, tmp_path, monkeypatch, image
):
    import torch

    from napari_ssan.network.model_file import save_model
    from napari_ssan.network.ssan import SSAN, SSANConfig

    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    config = SSANConfig(features=8, blocks=1, layers=1, growth=8)
    save_model(path, SSAN(config), {"tile": 64, "terms": "CC BY 4.0"})
    controller.view.ask_model = lambda: str(path)
    controller.choose_model_file()
    assert controller.view.repairing.model.currentText() == "own"
    assert "CC BY 4.0" in controller.view.repairing.terms.text()
    said = []
    controller.current.work.progressed.connect(lambda: said.append(controller.current.work.text))
    controller.current.session.mark([2])
    repair(controller)
    assert "Loading the network…" in said
    assert any("· CPU" in each for each in said)
    record = viewer.layers["em [repaired]"].metadata["napari_ssan"]["synthetic"]["sections"][0]
    assert (record["method"], record["model"]) == ("ssan", "own")


@pytest.fixture
def loaded(monkeypatch):
    """What was loaded, by which thread."""
    seen = []
    plain = kept_method.make_method

    def watched(method, model, device, **more):
        seen.append((Path(model).stem, more["views"], threading.get_ident()))
        return plain(method, model, device, **more)

    monkeypatch.setattr(kept_method, "make_method", watched)
    return seen


def test_the_network_is_loaded_once_as_soon_as_something_is_marked(
    viewer, controller, tiny_model, loaded
):
    controller.models.take(tiny_model)
    controller.finish()
    assert not loaded
    controller.current.session.mark([2])
    controller.current.session.mark([4])
    controller.finish()
    ((name, views, thread),) = loaded
    assert (name, views) == ("tiny", None)
    assert thread != threading.get_ident()
    for _ in range(2):
        repair(controller)
        assert set(states(controller).values()) == {"synthesized"}
        controller.current.session.redo([(2, 0)])
    assert len(loaded) == 1
    controller.view.repairing.best.setChecked(True)
    controller.finish()
    assert [views for _, views, _ in loaded] == [None, 8]
    repair(controller)
    record, other = controller.current.session.repaired.provenance.sections
    assert (record.views, other.views) == (8, 1)
    assert len(loaded) == 2


def test_the_time_of_a_repair_is_told_before_and_remembered(
    viewer, make_controller, tiny_model, user_folder
):
    volume = np.random.default_rng(0).integers(1, 250, (8, 700, 700), np.uint8)
    viewer.add_image(volume)
    controller = make_controller(viewer)
    controller.models.take(tiny_model)
    controller.finish()
    said = controller.view.repairing.device
    assert said.text().endswith("per slice")
    type_slices(controller, "2,4")
    assert said.text().endswith("for what is marked")
    controller.finish()  # the network is loaded, and tried
    assert controller._preloading.rate(controller._how()) > 0
    repair(controller)
    assert Rates().of(str(tiny_model), "auto") > 0


def test_a_model_that_was_replaced_is_loaded_again(controller, tiny_model, loaded, tmp_path):
    path = shutil.copy(tiny_model, tmp_path / "mine.safetensors")
    controller.models.take(path)
    controller.current.session.mark([2])
    controller.finish()
    os.utime(path, ns=(0, 0))
    repair(controller)
    assert len(loaded) == 2
    assert set(states(controller).values()) == {"synthesized"}


def test_what_cannot_be_loaded_is_said_when_repair_is_pressed(
    controller, tiny_model, tmp_path, notifications
):
    path = Path(shutil.copy(tiny_model, tmp_path / "mine.safetensors"))
    controller.models.take(path)
    path.unlink()
    controller.current.session.mark([2])
    controller.finish()
    assert not notifications
    repair(controller)
    assert "mine.safetensors" in "".join(each.message for each in notifications)


def test_a_file_that_is_no_model_is_refused(controller, tmp_path, notifications):
    path = tmp_path / "no.safetensors"
    path.write_text("no")
    controller.view.ask_model = lambda: str(path)
    before = controller.view.repairing.model.currentText()
    controller.choose_model_file()
    assert "cannot be used as a model" in notifications[-1].message
    assert controller.view.repairing.model.currentText() == before


def test_moving_the_slider_parses_nothing_and_opens_no_file(
    viewer, image, controller, circle, repaired_before, monkeypatch
):
    image.metadata["napari_ssan"] = {"provenance": repaired_before(3, 7)}
    controller.current.session.mark([2])
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    at(viewer, 3)
    said = controller.view.expected_error.sentence
    assert "In the file already, slice 3" in said.text()
    done = []

    def count(owner, name):
        plain = getattr(owner, name)

        def counted(*rest, **more):
            done.append(name)
            return plain(*rest, **more)

        monkeypatch.setattr(owner, name, counted)

    # The pixels on screen are napari's to read.
    monkeypatch.setattr(StoredArray, "__getitem__", lambda self, at: np.zeros(self.shape, "u1")[at])
    for owner, name in (
        (Provenance, "model_validate"),
        (Provenance, "model_validate_json"),
        (SyntheticSection, "model_validate"),
        (provenance_io, "from_plain"),
        (builtins, "open"),
        (io, "open"),
        (os, "open"),
        (os, "stat"),
        (np, "load"),
    ):
        count(owner, name)
    sections = [z % len(controller.current.stack) for z in range(50)]
    seen = set()
    for z in sections:
        at(viewer, z)
        seen.add(said.text())
    assert not done
    assert len(seen) > 4


# ---- while it runs


@pytest.fixture
def slowly(monkeypatch):
    """Let a repair wait before every patch until it is told to go on."""
    gate = threading.Semaphore(0)
    plain = jobs.patches

    def patches(*given, **more):
        for item in plain(*given, **more):
            if isinstance(item, Progress):
                tile = item
            while isinstance(item, Patch) and not gate.acquire(timeout=0.01):
                yield tile  # where it can be cancelled
            yield item

    monkeypatch.setattr(jobs, "patches", patches)
    return gate


def wait_for(qtbot, condition):
    qtbot.waitUntil(condition, timeout=10000)


def test_finished_slices_show_one_by_one_and_cancel_keeps_them(controller, slowly, qtbot):
    controller.current.session.mark([2, 5, 8])
    controller.repair()
    slowly.release()
    wait_for(qtbot, lambda: "synthesized" in states(controller).values())
    assert controller.view.repairing.progress.isVisibleTo(controller.view)
    assert not controller.view.exporting.export.isEnabled()
    controller.view.repairing.progress.cancel.click()
    assert "Stopping" in controller.current.work.text
    controller.finish()
    assert list(states(controller).values()) == ["synthesized", "marked", "marked"]
    assert controller.view.repairing.repair.text() == "Repair 2 marks"
    assert controller.view.exporting.export.isEnabled()


def test_a_second_press_queues(controller, slowly, qtbot):
    controller.current.session.mark([2])
    controller.repair()
    assert not controller.view.repairing.repair.isVisibleTo(controller.view)
    controller.current.session.mark([6])
    assert controller.view.repairing.repair.text() == "Queue 1 mark"
    controller.view.repairing.repair.click()
    assert "(1 queued)" in controller.view.repairing.progress.busy.text()
    slowly.release(2)
    controller.finish()
    assert list(states(controller).values()) == ["synthesized", "synthesized"]


def test_what_is_cancelled_says_so_to_its_end_and_what_waits_never_begins(
    controller, slowly, monkeypatch
):
    begun = []
    plain = jobs.patches
    monkeypatch.setattr(jobs, "patches", lambda *all, **kw: begun.append(all) or plain(*all, **kw))
    for z in (2, 5, 8):
        controller.current.session.mark([z])
        controller.repair()
    work, said = controller.current.work, []
    controller.current.cancel()
    work.changed.connect(lambda: said.append(work.text))
    work.progressed.connect(lambda: said.append(work.text))
    controller.finish()
    assert len(begun) <= 1
    assert said
    assert set(said[:-1]) == {"Stopping at the next tile…"}
    assert said[-1] == ""
    assert set(states(controller).values()) == {"marked"}


def test_nothing_done_leaves_no_layer(viewer, controller, slowly):
    controller.current.session.mark([2])
    controller.repair()
    assert "em [repaired]" in viewer.layers
    controller.current.cancel()
    controller.finish()
    assert "em [repaired]" not in viewer.layers


def test_an_unmarked_slice_is_not_laid(controller, slowly, volume):
    controller.current.session.mark([2, 6])
    controller.repair()
    controller.current.unmark(((2, 0),))
    slowly.release(2)
    controller.finish()
    assert states(controller) == {((6, 0),): "synthesized"}
    assert (controller.current.session.repaired[2] == volume[2]).all()


@pytest.mark.parametrize("name", ["em [repaired]", "Marks"])
def test_layers_deleted_meanwhile(viewer, controller, slowly, circle, name, qtbot):
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    settle_quick(controller)
    controller.current.session.mark([2])
    controller.repair()
    slowly.release()
    wait_for(qtbot, lambda: "synthesized" in states(controller).values())
    viewer.layers.remove(name)
    slowly.release()
    controller.finish()
    assert list(states(controller).values()) == ["synthesized", "synthesized"]
    assert ("em [repaired]" in viewer.layers) == (name == "Marks")
    if name == "Marks":
        controller.toggle_lasso(True)
        assert len(viewer.layers["Marks"].data) == 1


def test_a_repaired_layer_that_was_deleted_comes_back_when_it_is_asked_for(viewer, controller):
    controller.current.session.mark([2])
    repair(controller)
    viewer.layers.remove("em [repaired]")
    assert controller.view.exporting.export.isEnabled()
    assert controller.view.looking.before.text() == "Show after (H)"
    controller.view.looking.before.click()
    assert viewer.layers["em [repaired]"].data[2].any()


def test_a_layer_stays_for_what_waits(viewer, controller, slowly, qtbot):
    """The first repair was unmarked while it ran; the second one's slices are shown."""
    controller.current.session.mark([2])
    controller.repair()
    controller.current.session.mark([6])
    controller.repair()
    controller.current.unmark(((2, 0),))
    slowly.release(2)
    controller.finish()
    assert "em [repaired]" in viewer.layers


def settle_quick(controller):
    controller.quick.finish()


def test_deleting_the_original_stops_its_repair(viewer, image, controller, slowly, notifications):
    controller.current.session.mark([2, 6])
    controller.repair()
    viewer.layers.remove(image)
    controller.slow.finish()
    assert not notifications
    assert controller.current is None or controller.current.image != image


def test_a_stack_that_is_opened_again_while_its_repair_stops_is_offered(
    viewer, image, controller, slowly, notifications, volume, qtbot
):
    controller.current.session.mark([3, 6])
    controller.repair()
    slowly.release()
    wait_for(qtbot, lambda: "synthesized" in states(controller).values())
    viewer.layers.remove(image)
    viewer.add_image(volume, name="again")
    controller.finish()
    assert not notifications
    assert str(controller.current.offer) == "2 marks from today, 1 of them repaired"


def test_closing_while_it_runs_keeps_what_is_done(controller, slowly, qtbot, viewer, image):
    controller.current.session.mark([2, 6])
    controller.repair()
    slowly.release()
    wait_for(qtbot, lambda: "synthesized" in states(controller).values())
    session = controller.current.session
    controller.close()
    assert controller.slow.current is None
    assert [row.state for row in session.rows()] == ["synthesized", "marked"]
    assert not viewer.keymap


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("gone", [True, False])
def test_it_can_be_closed_at_any_time(
    controller, make_controller, slowly, volume, viewer, circle, qtbot, busy, gone
):
    """With and without the viewer, while work runs or not, twice: all that was done is saved."""
    current = controller.current
    if busy:
        current.session.mark([2, 6])
        controller.repair()
        slowly.release()
        wait_for(qtbot, lambda: "synthesized" in states(controller).values())
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(8))  # its pixels are being found
    if gone:
        controller.view.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    for _ in range(2):
        controller.close()
        current.close()
    assert controller.slow.current is controller.quick.current is None
    assert bool(viewer.keymap) == gone

    again = ViewerModel()
    again.add_image(volume)
    second = make_controller(again)
    second.view.header.yes.click()
    done = {((2, 0),): "synthesized", ((6, 0),): "marked"} if busy else {}
    assert states(second) == done | {((8, 0),): "marked"}


def test_what_was_drawn_before_its_image_went_is_saved(
    viewer, image, controller, make_controller, volume, circle
):
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(8))
    controller.current.close()
    controller.current.close()
    controller.finish()
    viewer.layers.remove(image)
    viewer.add_image(volume)
    controller.finish()
    assert str(controller.current.offer) == "1 mark from today"


def test_pixels_that_are_replaced_are_told_of(image, controller, volume, notifications):
    image.data = volume
    assert not notifications
    image.data = volume[::-1].copy()
    assert "were replaced" in notifications[0].message
    controller.close()
    image.data = volume
    assert len(notifications) == 1


def test_marks_are_offered_beside_an_empty_layer_of_shapes(
    viewer, image, controller, make_controller
):
    controller.current.session.mark([2])
    controller.finish()
    controller.close()
    controller.finish()
    viewer.add_shapes(name="mine")
    again = make_controller(viewer)
    again.finish()
    assert str(again.current.offer) == "1 mark from today"


def test_an_error_is_told_once(controller, notifications, monkeypatch):
    def broken(*rest, **more):
        raise ValueError("a defect")

    monkeypatch.setattr(jobs, "patches", broken)
    controller.current.session.mark([2])
    repair(controller)
    assert [each.message for each in notifications] == ["a defect"]
    assert notifications[0].exception.__traceback__ is not None
    assert states(controller) == {((2, 0),): "marked"}
    assert controller.view.repairing.repair.isEnabled()


def test_bad_input_is_a_sentence(viewer, make_controller, notifications):
    viewer.add_image(np.zeros((5, 64, 64), np.uint8))
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    repair(controller)
    (told,) = notifications
    assert "no good slice" in told.message
    assert str(told.severity) == "warning"


def test_notices_stay_in_the_dock(viewer, make_controller, volume):
    volume[3] = 0
    viewer.add_image(volume)
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    repair(controller)
    assert "Slice 3 is constant" in controller.view.repairing.notes.text()


def test_no_core_work_happens_in_the_gui_thread(controller, circle, viewer, monkeypatch, tmp_path):
    from napari_ssan.engine import inputs, patch_files, synthesis
    from napari_ssan.engine import repair as engine
    from napari_ssan.files import save as files
    from napari_ssan.stack.region import Region

    threads: dict[str, set[int]] = {}

    def watch(owner, name):
        plain = getattr(owner, name)

        def watched(*rest, **more):
            threads.setdefault(name, set()).add(threading.get_ident())
            return plain(*rest, **more)

        monkeypatch.setattr(owner, name, watched)

    watch(engine, "plan")
    watch(inputs, "find_placement")
    watch(synthesis, "summarize")
    watch(kept_method, "make_method")
    watch(review, "inspect")
    watch(review, "outlines_of")
    watch(Region, "from_outline")
    watch(sidecar, "fingerprint")
    watch(patch_files, "store")
    watch(files, "write_tiff")
    watch(os, "fsync")
    watch(journal, "read")
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    controller.current.review.inspect()
    controller.finish()
    controller.current.export(tmp_path / "a.tif", False, False)
    controller.finish()
    viewer.add_image(np.zeros((5, 64, 64), np.uint8))
    controller.finish()
    expected = {"plan", "find_placement", "make_method", "from_outline", "fingerprint", "store"}
    expected |= {"inspect", "outlines_of"}
    assert expected | {"summarize", "write_tiff", "fsync", "read"} <= set(threads)
    assert threading.get_ident() not in set().union(*threads.values())


# ---- export


def test_what_is_not_accepted_is_exported_only_if_the_user_says_so(controller, tmp_path, volume):
    session = controller.current.session
    session.mark([2, 6])
    session.set_missing(4, 1)
    repair(controller)
    assert controller.view.looking.accepted.text().startswith("0 of 3 repaired slices accepted.")
    session.accept([(2, 0)])
    target, asked, answers = tmp_path / "out.tif", [], ["", "accepted", "all"]
    controller.view.ask_unaccepted = lambda *numbers: asked.append(numbers) or answers.pop(0)
    controller.view.ask_target = lambda *rest: target
    controller.view.ask_replace = lambda paths: True
    controller.export(".tif", False, False)
    controller.finish()
    assert not target.exists()
    controller.export(".tif", False, False)
    controller.finish()
    repaired = np.asarray(session.repaired[:])
    written = tifffile.imread(target)
    np.testing.assert_array_equal(np.delete(written, 2, 0), np.delete(volume, 2, 0))
    np.testing.assert_array_equal(written[2], repaired[2])
    assert [record.section for record in open_stack(target).provenance.sections] == [2]
    controller.export(".tif", False, False)
    controller.finish()
    np.testing.assert_array_equal(tifffile.imread(target), repaired)
    assert asked == [(1, 3)] * 3
    session.accept([(6, 0), (4, 1)])
    assert controller.view.looking.accepted.text() == "All repaired slices are accepted."
    controller.export(".tif", False, False)
    controller.finish()
    assert len(asked) == 3


def test_a_report_comes_with_an_export(controller, tmp_path, notifications):
    session = controller.current.session
    session.mark([2, 9])
    repair(controller)
    session.accept([(2, 0)])
    controller.current.export(tmp_path / "out.ome.tif", False, False, report=True)
    controller.finish()
    page = (tmp_path / "out.report.html").read_text(encoding="utf-8")
    assert "What was repaired in em?" in page
    assert "1 of 2 is accepted." in page
    assert "Slice 9: copied, from 8, by copy" in page
    assert notifications[-1].message == "Exported out.ome.tif, out.report.html."


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif", ".tif"])
def test_export(controller, tmp_path, suffix, notifications):
    controller.current.session.mark([2])
    repair(controller)
    target = tmp_path / f"out{suffix}"
    asked = []

    def ask(folder, name, suffix):
        asked.append((folder, name, suffix))
        return target

    controller.current.session.accept([(2, 0)])
    controller.view.ask_target = ask
    controller.export(suffix, True, True)
    controller.finish()
    assert asked == [(Path.home(), "em_repaired", suffix)]
    written = open_stack(target)
    assert (np.asarray(written.data) == controller.current.session.repaired[:]).all()
    assert written.calibration.scale == pytest.approx((30, 4, 4))
    assert [record.section for record in written.provenance.sections] == [2]
    assert len(list(tmp_path.glob("out.synthetic*"))) == 1
    (errors,) = tmp_path.glob("out.expected-error*")
    expected = controller.current.session.repaired.expected_error[:]
    np.testing.assert_array_equal(np.asarray(open_stack(errors).data), expected)
    assert open_stack(errors).calibration.scale == pytest.approx((30, 4, 4))
    assert "Exported" in notifications[-1].message


def test_export_refuses_the_original(viewer, make_controller, volume, tmp_path, notifications):
    source = tmp_path / "a.tif"
    source.write_bytes(b"precious")
    viewer.add_image(volume, metadata={"napari_ssan": {"path": str(source)}})
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    repair(controller)
    controller.current.export(source, False, False)
    controller.finish()
    assert source.read_bytes() == b"precious"
    assert len(notifications) == 1
    controller.current.session.accept([(2, 0)])
    controller.view.ask_target = lambda *rest: None
    controller.export(".tif", False, False)
    controller.finish()


def test_export_asks_before_it_replaces(controller, tmp_path):
    controller.current.session.mark([2])
    repair(controller)
    target, mask = tmp_path / "out.ome.tif", tmp_path / "out.synthetic.tif"
    errors = tmp_path / "out.expected-error.tif"
    for path in (target, mask, errors):
        path.write_bytes(b"precious")
    asked = []
    controller.current.session.accept([(2, 0)])
    controller.view.ask_target = lambda *rest: target
    controller.view.ask_replace = lambda paths: asked.append(paths)
    controller.export(".ome.tif", True, True)
    controller.finish()
    assert asked == [[target, mask, errors]]
    assert target.read_bytes() == mask.read_bytes() == b"precious"
    controller.view.ask_replace = lambda paths: asked.append(paths) or True
    controller.export(".ome.tif", False, False)
    controller.finish()
    assert asked[1:] == [[target]]
    assert len(open_stack(target).stack()) == 10
    assert mask.read_bytes() == b"precious"


def test_export_is_not_harmed_by_unmarking(controller, tmp_path, monkeypatch, notifications):
    from napari_ssan import files

    controller.current.session.mark([2])
    repair(controller)
    expected = controller.current.session.repaired[:]
    written, gate = files.save_stack, threading.Event()

    def later(*rest, **more):
        gate.wait(10)
        return written(*rest, **more)

    monkeypatch.setattr(files, "save_stack", later)
    controller.current.export(tmp_path / "a.tif", False, False)
    controller.current.unmark(((2, 0),))
    controller.quick.finish()
    gate.set()
    controller.finish()
    assert "Exported" in notifications[-1].message
    assert (np.asarray(open_stack(tmp_path / "a.tif").data) == expected).all()


def test_file_save_refuses_the_original(viewer, make_controller, volume, tmp_path):
    """Also where napari's own reader has read it, which leaves no metadata."""
    from napari.layers._source import layer_source

    from napari_ssan.errors import BadInput
    from napari_ssan.plugin.writers import write

    source = tmp_path / "a.tif"
    tifffile.imwrite(source, volume, photometric="minisblack")
    with layer_source(path=str(source)):
        viewer.add_image(volume, name="a")
    controller = make_controller(viewer)
    controller.current.session.mark([2])
    repair(controller)
    controller.view.looking.overlay.click()
    before = source.read_bytes()
    for name in ("a [repaired]", "a [synthetic pixels]"):
        data, meta, _ = viewer.layers[name].as_layer_data_tuple()
        with pytest.raises(BadInput, match="is the input itself"):
            write(str(source), data, meta)
    assert source.read_bytes() == before


# ---- after a crash


def crash(controller):
    """Leave as a crash does: nothing is said, nothing is closed."""
    controller.finish()
    controller.close()
    QApplication.processEvents()


def test_marks_and_repairs_survive(viewer, controller, make_controller, volume, circle):
    controller.current.session.mark([2])
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    at(viewer, 2)
    controller.accept()
    controller.current.session.mark([8])
    repaired = np.asarray(controller.current.session.repaired)
    before = states(controller)
    crash(controller)

    again = ViewerModel()
    again.add_image(volume, scale=(30, 4, 4), units="nm", name="em")
    second = make_controller(again)
    assert second.view.header.message.text() == "Found 3 marks from today, 2 of them repaired."
    assert not second.view.marking.mark.isEnabled()
    second.view.header.yes.click()
    assert states(second) == before
    assert (np.asarray(again.layers["em [repaired]"].data) == repaired).all()
    assert len(again.layers["Marks"].data) == 1
    second.finish()
    assert states(second) == before
    again.layers["Marks"].data = []
    assert ((6, 0),) not in states(second)


def test_discarding_forgets(viewer, controller, make_controller, volume):
    controller.current.session.mark([2])
    crash(controller)
    for expected in ("Found 1 mark from today.", ""):
        again = ViewerModel()
        again.add_image(volume)
        second = make_controller(again)
        assert second.view.header.message.text() == expected
        if expected:
            second.view.header.no.click()
            assert not states(second)
        crash(second)


def test_what_was_discarded_comes_back(viewer, controller, make_controller, volume, circle):
    type_slices(controller, "2,8")
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    before = states(controller)
    crash(controller)
    again = ViewerModel()
    again.add_image(volume, name="em")
    second = make_controller(again)
    asked = []
    second.view.ask_lose = lambda count, verb: asked.append((verb, count)) or len(asked) > 1
    second.view.header.no.click()
    assert second.current.offer is not None
    second.view.header.no.click()
    assert asked == [("Discard", 3)] * 2
    second.finish()
    assert not states(second)
    press(again, "Control-Z")
    second.finish()
    assert states(second) == before
    assert again.layers["em [repaired]"].data[2].any()
    assert len(again.layers["Marks"].data) == 1
    crash(second)

    third = ViewerModel()
    third.add_image(volume, name="em")
    last = make_controller(third)
    last.view.header.yes.click()
    assert states(last) == before


def test_what_was_marked_before_the_question_stays(
    viewer, controller, make_controller, volume, circle
):
    from napari_ssan.stack.region import Region

    controller.current.session.mark([2])
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    (restored,) = controller.current.session.marks.by_key()
    crash(controller)

    again = ViewerModel()
    again.add_image(volume)
    second = make_controller(again)
    session = second.current.session
    (same,) = second.current.offer.marks.regions[6]
    session.mark([2])
    session.mark([8], "correct")
    session.set_missing(4, 2)
    new = Region.from_outline([(5, 5), (5, 20), (20, 9)], (64, 80))
    session.add_region(6, same)
    session.add_region(0, new)
    second.view.header.yes.click()
    second.finish()
    assert states(second) == {
        ((0, 0),): "marked",
        ((2, 0),): "synthesized",
        ((4, 1),): "marked",
        ((6, 0),): "synthesized",
        ((8, 0),): "marked",
    }
    assert set(session.marks.by_key()) == {restored, new.key(0)}
    assert session.marks.corrected == {8}


def test_a_stack_that_is_open_twice_is_saved_once(
    viewer, image, controller, make_controller, volume, notifications
):
    controller.current.session.mark([2])
    repair(controller)
    other = ViewerModel()
    other.add_image(volume)
    second = make_controller(other)
    assert "stays in memory only" in notifications[-1].message
    assert len(notifications) == 1
    assert not second.view.header.banner.isVisibleTo(second.view)
    second.current.session.mark([5])
    repair(second)
    second.current.unmark(((5, 0),))
    crash(second)
    assert controller.current.session.repaired[2].any()
    viewer.layers.remove(image)
    controller.finish()

    again = ViewerModel()
    again.add_image(volume)
    third = make_controller(again)
    assert third.view.header.message.text() == "Found 1 mark from today, already repaired."
    assert len(notifications) == 1


def test_a_repaired_layer_alone_does_not_hold_the_marks_of_its_file(
    viewer, image, controller, volume, notifications
):
    controller.current.session.mark([3])
    repair(controller)
    viewer.layers.remove(image)
    controller.finish()
    assert controller.view.header.stack.currentText() == "em [repaired]"
    viewer.add_image(volume, name="again")
    controller.finish()
    assert not notifications
    assert controller.view.header.message.text().startswith("Found 1 mark")


def test_a_closed_dock_is_taken_up_without_asking(viewer, controller, make_controller, circle):
    controller.toggle_lasso(True)
    viewer.layers["Marks"].add_polygons(circle(6))
    controller.finish()
    repair(controller)
    controller.close()
    names = [layer.name for layer in viewer.layers]
    second = make_controller(viewer)
    assert not second.view.header.banner.isVisibleTo(second.view)
    assert [layer.name for layer in viewer.layers] == names
    assert states(second) == {((6, 0),): "synthesized"}
    assert second.view.header.stack.count() == 1


def test_a_damaged_sidecar_is_a_sentence(controller, make_controller, volume, notifications):
    controller.current.session.mark([2])
    folder = controller.current._autosave.sidecar.folder
    crash(controller)
    (path,) = folder.glob("journal.jsonl")
    path.write_text("{")
    again = ViewerModel()
    again.add_image(volume)
    second = make_controller(again)
    assert "kept as" in notifications[-1].message
    assert not states(second)
    assert second.view.marking.mark.isEnabled()


def test_a_damaged_line_is_a_sentence_and_the_rest_is_offered(
    controller, make_controller, volume, notifications
):
    controller.current.session.mark([2, 6])
    folder = controller.current._autosave.sidecar.folder
    crash(controller)
    (path,) = folder.glob("journal.jsonl")
    path.write_text(path.read_text().replace('"2-0": {"format"', '"2-0": "format"', 1))
    again = ViewerModel()
    again.add_image(volume)
    second = make_controller(again)
    (told,) = notifications
    assert "Some of the saved marks" in told.message
    second.view.header.yes.click()
    assert states(second) == {((6, 0),): "marked"}


def test_marks_of_a_newer_version_stay_as_they_are(
    controller, make_controller, volume, notifications
):
    controller.current.session.mark([2])
    folder = controller.current._autosave.sidecar.folder
    repair(controller)
    crash(controller)
    (path,) = folder.glob("journal.jsonl")
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    before = {file: file.read_bytes() for file in folder.iterdir()}
    again = ViewerModel()
    again.add_image(volume)
    second = make_controller(again)
    second.current.session.mark([6])
    repair(second)
    assert states(second) == {((6, 0),): "synthesized"}
    second.close()
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    (told,) = notifications
    assert "newer version" in told.message


def test_a_full_disk_is_told_once(controller, monkeypatch, notifications):
    def full(self, saved):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sidecar.Sidecar, "save", full)
    controller.current.session.mark([2])
    controller.finish()
    controller.current.session.mark([5])
    controller.finish()
    assert len(notifications) == 1
    assert "No space left" in notifications[0].message
    assert len(states(controller)) == 2


def test_keys_are_free_and_given_back(viewer, controller):
    from napari.layers import Image, Labels, Points, Shapes

    bound = {str(key) for key in viewer.keymap}
    assert bound == {*"WGHJKUNQ", "Shift+W", "Ctrl+Z", "Ctrl+Shift+Z"}
    bound -= {"Ctrl+Z", "Ctrl+Shift+Z"}  # which layers of labels keep for themselves
    for kind in (Image, Labels, Points, Shapes, ViewerModel):
        assert not bound & {str(key) for key in kind.class_keymap}
    controller.close()
    assert not viewer.keymap


def test_taken_keys_are_left_alone(viewer, image, make_controller):
    mine = viewer.bind_key("J", lambda viewer: None)
    controller = make_controller(viewer)
    assert "(,)" in controller.view.marking.tools.back.toolTip()
    controller.close()
    assert [str(key) for key in viewer.keymap] == ["J"]
    del mine


# ---- other docks


def test_other_docks_know_what_is_marked(image, controller):
    assert SESSIONS.of(image) is controller.current.session


def test_others_hear_which_loss_the_chosen_model_was_trained_with(controller, monkeypatch):
    monkeypatch.setattr(LIBRARY, "loss", "L_1")
    for index, choice in enumerate(controller.models.entries):
        controller.models.choose(index)
        assert LIBRARY.loss == (choice.loss or "L_s")
    assert [choice.loss for choice in controller.models.entries[:3]] == ["L_1", "L_s", ""]


def test_a_model_that_is_kept_appears_at_once_and_can_be_chosen(controller, tiny_model):
    info = import_model(tiny_model, "Cortex A7")
    LIBRARY.changed.emit()
    labels = [choice.label for choice in controller.models.entries]
    assert "Cortex A7" in labels
    assert controller.view.repairing.model.count() == len(labels) + 1  # and one to choose a file
    LIBRARY.chosen.emit(info.path)
    assert controller.view.repairing.model.currentText() == "Cortex A7"
    delete("Cortex A7")
    LIBRARY.changed.emit()
    assert controller.view.repairing.model.currentText() == "Faithful (bundled)"


# ---- treatment


def test_what_becomes_of_a_mark_is_chosen_and_can_be_undone(viewer, controller, asked):
    tools = controller.view.marking.tools
    assert tools.treating.isHidden()
    type_slices(controller, "3,5-6")
    at(viewer, 3)
    assert (tools.label.text(), tools.treatment.currentData()) == ("Slice 3", "synthesize")
    tools.treatment.setCurrentIndex(1)
    tools.treatment.activated.emit(1)
    rows = {row.marks: row.treatment for row in controller.current.rows}
    assert rows == {((3, 0),): "correct", ((5, 0), (6, 0)): "synthesize"}
    table = controller.view.marking.table
    assert [table.item(line, 1).text() for line in range(2)] == ["whole, correct", "whole"]
    table.selectRow(1)
    assert (tools.label.text(), tools.treatment.currentData()) == ("Slice 5–6", "synthesize")
    tools.treatment.setCurrentIndex(1)
    tools.treatment.activated.emit(1)
    assert controller.current.session.marks.corrected == {3, 5, 6}
    controller.current.undo()
    assert controller.current.session.marks.corrected == {3}


def test_a_corrected_slice_is_called_that(viewer, controller):
    type_slices(controller, "3")
    controller.current.session.treat([(3, 0)], "correct")
    repair(controller)
    at(viewer, 3)
    caption = presenter.caption_of(controller.current)
    assert caption.kind == "corrected"
    assert caption.text.startswith("slice 3: corrected, like 2 and 4")
    assert controller.view.marking.table.item(0, 2).text() == "corrected"
    overlay = controller.current.results
    overlay.show_overlay("synthetic", True)
    assert np.unique(np.asarray(overlay.overlays["synthetic"].data[3])).tolist() == [2]
