"""Suggestions in the dock, in a viewer model.

Covers: napari_ssan.widgets.repair.suggesting
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_ssan.events import Progress
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.stack.phantom import phantom
from napari_ssan.stack.region import Region
from napari_ssan.widgets.repair import review
from napari_ssan.widgets.repair.marks_table import MarksTable
from napari_ssan.widgets.repair.review import NAME


@pytest.fixture(scope="module")
def broken():
    """Blank at 2, dirty at 12."""
    made = phantom((18, 128, 144), seed=4)
    stack = made.clean[4:18].copy()
    stack[2] = 0
    stack[8, 40:62, 50:74] = 5
    return stack


@pytest.fixture
def viewer():
    return ViewerModel()


BLANK = Find(2, "blank", 9.0, 1.0, "It is constant.")
DIRT = Find(
    8, "contamination", 6.0, 0.93, "It is darker.", region=Region(40, 50, np.ones((22, 24), bool))
)


@pytest.fixture
def found(monkeypatch):
    """Have every inspection find the same two."""

    def inspect(view, workers, cancel):
        yield Progress(1, view.shape[0], 0, 1.0)
        yield Inspection(view.shape[0], 0, 0.8, (BLANK, DIRT))

    monkeypatch.setattr(review, "inspect", inspect)


@pytest.fixture
def controller(viewer, broken, make_controller, found):
    viewer.add_image(broken, name="em", scale=(30, 4, 4), units="nm")
    made = make_controller(viewer)
    made.finish()
    return made


def press(viewer, key):
    [function] = [each for name, each in viewer.keymap.items() if str(name) == key]
    return function(viewer)


def suggest(controller):
    controller.view.marking.suggest.click()
    controller.finish()
    return controller.current.review


def test_a_real_inspection_finds_a_blank_slice(viewer, broken, make_controller):
    viewer.add_image(broken, name="em", scale=(30, 4, 4), units="nm")
    controller = make_controller(viewer)
    first = suggest(controller).suggestions.open[0]
    assert (first.z, first.kind, first.p) == (2, "blank", 1.0)


def test_an_inspection_leaves_one_of_many_cores_to_the_viewer(controller, monkeypatch):
    asked = []
    monkeypatch.setattr("napari_ssan.training.machine.cores", lambda: 5)
    monkeypatch.setattr(
        review, "inspect", lambda view, workers, cancel: asked.append(workers) or ()
    )
    suggest(controller)
    assert asked == [4]


def test_suggestions_are_walked_through_and_decided_with_keys(viewer, controller):
    shown = suggest(controller)
    session = controller.current.session
    assert [find.z for find in shown.suggestions.open] == [2, 8]
    assert not session.marks
    assert viewer.dims.point[0] == 2 * 30
    press(viewer, "K")
    assert viewer.dims.point[0] == 8 * 30
    outline = viewer.layers[NAME].data
    assert {float(vertex[0]) for shape in outline for vertex in shape} == {8.0}
    press(viewer, "K")
    assert viewer.dims.point[0] == 2 * 30
    press(viewer, "U")
    assert session.marks.whole == {2}
    assert viewer.dims.point[0] == 8 * 30
    press(viewer, "U")
    assert list(session.marks.regions) == [8]
    assert len(viewer.layers["Marks"].data) == len(session.marks.regions[8])
    marked = session.marks.mask(8, (slice(0, 128), slice(0, 144)))
    assert marked[40:62, 50:74].mean() > 0.9
    assert not viewer.layers[NAME].visible
    assert not viewer.layers[NAME].data
    assert shown.current is None
    controller.current.undo()
    assert [find.z for find in shown.suggestions.open] == [8]
    assert viewer.layers[NAME].visible
    assert controller.current.marks.layer.name == "Marks"


def lines(controller):
    """Text of the lines of the table, and the lines that are selected."""
    table = controller.view.marking.table
    chosen = sorted(index.row() for index in table.selectionModel().selectedRows())
    columns = range(5)
    return [" ".join(table.item(line, each).text() for each in columns).strip()
            for line in range(table.rowCount())], chosen  # fmt: skip


FIRST, SECOND = "2 blank suggested 100 %", "8 contamination suggested 93 %"


def test_suggestions_stand_in_the_table_below_the_marks(viewer, controller):
    controller.current.session.mark([5])
    suggest(controller)
    table = controller.view.marking.table
    assert lines(controller) == (["5 whole marked  ✕", FIRST, SECOND], [1])
    assert table.item(2, 1).toolTip() == "contamination. It is darker."
    press(viewer, "K")
    assert lines(controller)[1] == [2]
    assert [table.item(line, 0).font().bold() for line in range(3)] == [False, False, True]
    press(viewer, "U")
    marked = ["5 whole marked  ✕", "8 region 3.9 % marked  ✕"]
    assert lines(controller) == ([*marked, FIRST], [2])
    controller.current.undo()
    assert lines(controller) == ([marked[0], FIRST, SECOND], [1])
    press(viewer, "N")
    assert lines(controller) == ([marked[0], SECOND], [1])
    press(viewer, "N")
    assert lines(controller) == (marked[:1], [])
    assert not table.isColumnHidden(4)


def test_there_is_nothing_to_unmark_while_all_is_only_suggested(controller):
    suggest(controller)
    table = controller.view.marking.table
    assert table.isColumnHidden(4)
    controller.current.session.mark([5])
    assert not table.isColumnHidden(4)


def test_a_click_on_its_row_goes_to_a_suggestion(viewer, controller, qtbot):
    controller.current.session.mark([5])
    shown = suggest(controller)
    table = controller.view.marking.table
    table.cellClicked.emit(2, 3)
    assert (shown.current, viewer.dims.point[0]) == (DIRT, 8 * 30)
    assert lines(controller)[1] == [2]
    assert viewer.layers[NAME].data[0][0][0] == 8
    qtbot.keyClick(table, Qt.Key.Key_Up)
    assert (shown.current, viewer.dims.point[0]) == (BLANK, 2 * 30)
    qtbot.keyClick(table, Qt.Key.Key_Up)
    assert (shown.current, viewer.dims.point[0]) == (BLANK, 5 * 30)
    assert lines(controller)[1] == [0]


def test_what_is_done_to_rows_leaves_suggestions_alone(viewer, controller, qtbot):
    shown, session = suggest(controller), controller.current.session
    table, tools = controller.view.marking.table, controller.view.marking.tools
    everything = shown.suggestions.open
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    for column in range(5):
        table.cellClicked.emit(0, column)
    assert (not session.marks, shown.suggestions.open) == (True, everything)
    session.mark([5, 10])
    table.selectAll()
    assert table.selected == [0, 1]
    assert tools.accept.text() == "Accept 2"
    controller.repair()
    controller.finish()
    assert [row.state for row in controller.current.rows] == ["synthesized"] * 2
    table.selectAll()
    tools.accept.click()
    assert [row.state for row in controller.current.rows] == ["accepted"] * 2
    assert table.selected == [0, 1]
    controller.view.ask_lose = lambda count, verb: True
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert (not session.marks, shown.suggestions.open) == (True, everything)
    assert lines(controller) == ([FIRST, SECOND], [0])


def test_two_thousand_suggestions_are_walked_through_in_no_time(viewer, controller, monkeypatch):
    many = tuple(replace(DIRT, z=n % 14, kind=f"kind {n}") for n in range(2000))
    controller.current.review.suggestions.offer(Inspection(14, 0, 0.8, many), {})
    assert len(lines(controller)[0]) == 2000
    written = []
    put = MarksTable.put
    monkeypatch.setattr(MarksTable, "put", lambda *cell: written.append(cell) or put(*cell))
    press(viewer, "K")
    assert not written
    press(viewer, "N")
    assert not written


def test_the_window_of_comparisons_follows_from_suggestion_to_suggestion(controller, viewer):
    suggest(controller)
    controller.view.marking.suggestions.compare.click()
    controller.finish()
    window = controller.comparing.window
    assert window.windowTitle() == "Compare: slice 2"
    assert [each.words for each in window._pictures] == [
        "previous: slice 1",
        "slice 2",
        "next: slice 3",
    ]
    assert (window.one.currentText(), window.other.currentText()) == (
        "previous: slice 1",
        "slice 2",
    )
    press(viewer, "K")
    controller.finish()
    assert window.windowTitle() == "Compare: slice 8"
    assert controller.comparing._centre == (51, 62)
    viewer.dims.set_point(0, 5 * 30)
    controller.finish()
    assert "repaired or suggested" in window.hint.text()


def test_nothing_that_is_drawn_around_a_suggestion_is_a_mark(viewer, controller):
    suggest(controller)
    controller.toggle_lasso(True)
    assert viewer.layers.selection.active.name == "Marks"
    assert not controller.current.session.marks


def test_rejected_ones_do_not_come_back(viewer, controller, make_controller, broken):
    shown = suggest(controller)
    press(viewer, "N")
    assert [find.z for find in shown.suggestions.open] == [8]
    assert [find.z for find in suggest(controller).suggestions.open] == [8]
    folder = controller.current._autosave.sidecar.folder
    assert json.loads((folder / "rejected.json").read_text()) == [[2, None, ""]]
    controller.close()
    again = make_controller(viewer)
    again.finish()
    assert [find.z for find in suggest(again).suggestions.open] == [8]
    again.view.marking.suggestions.again.click()
    again.finish()
    assert [find.z for find in again.current.review.suggestions.open] == [2, 8]
    assert not (folder / "rejected.json").exists()


def test_rejections_that_cannot_be_read_take_no_repairs_along(
    viewer, controller, make_controller, notifications
):
    controller.current.session.mark([4])
    suggest(controller)
    press(viewer, "N")
    controller.finish()
    sidecar = controller.current._autosave.sidecar
    controller.close()
    controller.finish()
    (sidecar.folder / "rejected.json").write_text("[[1,2")
    again = make_controller(viewer)
    again.finish()
    assert "what was rejected is suggested again" in notifications[-1].message
    assert (again.current.offer or again.current.session).marks.whole == {4}
    suggest(again)
    press(viewer, "N")
    again.finish()
    assert (sidecar.folder / "rejected.json").read_text() == "[[1,2"


def test_the_outline_lies_on_its_slice_where_slices_were_inserted(viewer, controller):
    shown, session = suggest(controller), controller.current.session
    session.set_missing(0, 2)
    controller.view.repairing.repair.click()
    controller.finish()
    shown.go_to(1)
    assert viewer.layers[NAME].data[0][0][0] == DIRT.z + 2
    controller.current.results.before(True)
    assert viewer.layers[NAME].data[0][0][0] == DIRT.z
    controller.current.results.before(False)
    assert viewer.layers[NAME].data[0][0][0] == DIRT.z + 2


def test_an_inspection_that_ends_while_another_stack_is_chosen_leads_nowhere(
    viewer, controller, broken
):
    first = controller.current
    controller.view.marking.suggest.click()
    viewer.layers.selection.active = viewer.add_image(broken[::-1].copy(), name="other")
    assert controller.current is not first
    viewer.dims.set_point(0, 3)
    controller.finish()
    assert first.review.suggestions.open
    assert viewer.dims.point[0] == 3
    assert not [layer for layer in viewer.layers if layer.name == NAME and layer.visible]
    viewer.layers.selection.active = viewer.layers["em"]
    assert viewer.layers[NAME].visible


def test_the_arrows_lead_from_mark_to_mark_while_there_are_suggestions(viewer, controller):
    controller.current.session.mark([1, 4, 6])
    suggest(controller)
    tools = controller.view.marking.tools
    seen = []
    for arrow in (tools.forth, tools.forth, tools.forth, tools.back):
        arrow.click()
        seen.append(viewer.dims.point[0] / 30)
    assert seen == [4, 6, 1, 6]
    assert tools.forth.toolTip() == "Go to the next mark"
    for _ in range(2):
        press(viewer, "N")
    assert tools.forth.toolTip() == "Go to the next mark (K)"


def test_progress_says_that_nothing_is_repaired_yet(controller):
    said, work = [], controller.current.work
    work.progressed.connect(lambda: said.append(work.text))
    suggest(controller)
    assert "looking at slice 0, 1 s left" in said


def test_all_that_are_certain_are_marked_at_once(controller):
    shown = suggest(controller)
    certain = {find.z for find in shown.suggestions.open if find.p >= 0.9}
    assert certain
    controller.view.marking.suggestions.all.click()
    marks = controller.current.session.marks
    assert marks.whole | set(marks.regions) == certain


def test_a_held_key_shows_the_neighbours_in_turn(viewer, controller):
    suggest(controller)
    seen = []
    for _ in range(2):
        held = press(viewer, "Q")
        next(held)
        seen.append(viewer.dims.point[0] / 30)
        next(held, None)
        seen.append(viewer.dims.point[0] / 30)
    assert seen == [1, 2, 3, 2]


def test_the_strip_leads_to_suggestions_and_slices(viewer, controller):
    suggest(controller)
    strip = controller.view.marking.strip
    strip.asked.emit(8)
    assert controller.current.review.current.z == 8
    assert viewer.dims.point[0] == 8 * 30
    strip.asked.emit(5)
    assert viewer.dims.point[0] == 5 * 30
    assert controller.current.review.current.z == 8


def test_what_is_marked_already_is_not_suggested(controller, notifications):
    controller.current.session.mark([2, 8])
    assert suggest(controller).current is None
    assert "Nothing was found" in notifications[-1].message


def test_closing_takes_the_outline_away_and_stops_the_search(viewer, controller, make_controller):
    suggest(controller)
    assert viewer.layers[NAME].nshapes
    controller.current.review.inspect()
    controller.close()
    assert not viewer.layers[NAME].visible
    assert not viewer.layers[NAME].nshapes
    assert not controller.current.session.marks
    assert np.array_equal(viewer.layers["em"].data[2], np.zeros((128, 144)))
    again = make_controller(viewer)
    again.finish()
    suggest(again)
    assert [layer.name for layer in viewer.layers].count(NAME) == 1
    assert viewer.layers[NAME].visible


def test_a_region_that_is_not_on_screen_is_brought_there(viewer, controller):
    camera = getattr(viewer, "scene", viewer).camera
    image = viewer.layers["em"]
    everything = [[0, 0, 0], [0, 127, 143]]
    for corners, moves in ((everything, False), ([[0, 0, 0], [0, 30, 30]], True)):
        camera.center = (0, 7, 9)
        image.corner_pixels = np.array(corners)
        suggest(controller).go_to(1)
        y, x = camera.center[-2:]
        assert (y, x) == ((51 * 4, 62 * 4) if moves else (7, 9))


def test_a_whole_slice_that_is_not_on_screen_is_brought_there(viewer, controller):
    camera = getattr(viewer, "scene", viewer).camera
    image = viewer.layers["em"]
    for corners, moves in (([[0, 0, 0], [0, 127, 143]], False), ([[0, 0, 0], [0, 30, 30]], True)):
        camera.center = (0, 7, 9)
        image.corner_pixels = np.array(corners)
        suggest(controller).go_to(0)
        y, x = camera.center[-2:]
        assert (y, x) == ((63.5 * 4, 71.5 * 4) if moves else (7, 9))
