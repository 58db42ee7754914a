"""Twenty scattered slices in a real viewer, with real events, each of which is counted.

Covers: napari_ssan.widgets.repair.many_marks, napari_ssan.widgets.repair.marks_table
"""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QMainWindow, QPushButton

from napari_ssan.files import open_stack

TWENTY = (3, 5, 8, 11, 14, 15, 19, 22, 25, 29, 31, 34, 37, 40, 43, 45, 48, 51, 54, 57)
#: From an open napari to the exported file.
MOST_ACTIONS = 25


@pytest.fixture
def stack(smooth, tmp_path):
    path = tmp_path / "em.tif"
    long = np.concatenate([smooth, smooth[::-1]] * 3)
    tifffile.imwrite(path, long, photometric="minisblack")
    return path


@pytest.fixture
def viewer(make_napari_viewer_proxy, stack):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.open(str(stack), plugin="napari-ssan")
    return viewer


@pytest.fixture
def controller(viewer):
    controller = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")[1].controller
    methods = [choice.method for choice in controller.models.entries]
    controller.view.repairing.model.setCurrentIndex(methods.index("average"))
    controller.view.repairing.model.activated.emit(methods.index("average"))
    controller.finish()
    return controller


class Hands:
    """Do what a user does, and count it."""

    def __init__(self, qtbot):
        self.bot = qtbot
        self.actions = 0

    def click(self, widget, place=None, keys=Qt.KeyboardModifier.NoModifier):
        self.actions += 1
        self.bot.mouseClick(widget, Qt.MouseButton.LeftButton, keys, *([place] if place else []))
        self._let_go(widget)

    def cell(self, table, line, column=0, keys=Qt.KeyboardModifier.NoModifier):
        item = table.item(line, column)
        table.scrollToItem(item)
        self.click(table.viewport(), table.visualItemRect(item).center(), keys)

    def type(self, widget, text):
        self.actions += 1
        self.bot.keyClicks(widget, text)

    def key(self, widget, key, keys=Qt.KeyboardModifier.NoModifier):
        self.actions += 1
        self.bot.keyClick(widget, key, keys)
        self._let_go(widget)

    def _let_go(self, widget):
        """No key is held any more, or Qt takes Control to be held in the tests that follow."""
        if QApplication.keyboardModifiers():
            self.bot.keyRelease(widget, Qt.Key.Key_Control)

    def hold(self, widget, key, times):
        """Hold a key until it has repeated itself so often."""
        self.actions += 1
        for kind in [QEvent.Type.KeyPress] * times + [QEvent.Type.KeyRelease]:
            event = QKeyEvent(kind, key, Qt.KeyboardModifier.NoModifier, "", True)
            QApplication.sendEvent(widget, event)

    def answer(self, *texts):
        """Press a button of each of the dialogs that open next."""
        self.actions += len(texts)
        left = list(texts)

        def press():
            dialog = QApplication.activeModalWidget()
            if dialog is not None:
                found = [b for b in dialog.findChildren(QPushButton) if b.text() in left[0]]
                if not found:
                    dialog.reject()
                    return
                left.pop(0)
                self.bot.mouseClick(found[0], Qt.MouseButton.LeftButton)
            if left:
                QTimer.singleShot(100, press)

        QTimer.singleShot(100, press)


@pytest.fixture
def hands(qtbot):
    return Hands(qtbot)


def wait(qtbot, controller):
    done = lambda: controller.slow.current is None and controller.quick.current is None  # noqa: E731
    qtbot.waitUntil(done, timeout=60000)


def window():
    (found,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    return found


def states(controller):
    return [row.state for row in controller.current.rows]


def test_twenty_scattered_slices_from_open_to_export(viewer, controller, hands, qtbot, stack):
    hands.actions = 2  # a file is dropped onto napari, the dock is opened from its menu
    marking = controller.view.marking
    hands.click(marking.slices.field)
    hands.type(marking.slices.field, ", ".join(map(str, TWENTY)))
    hands.key(marking.slices.field, Qt.Key.Key_Return)
    assert controller.current.session.marks.whole == set(TWENTY)
    hands.click(controller.view.repairing.repair)
    wait(qtbot, controller)
    seen = [controller.current.results.slot_on_screen()]

    def look(event):
        seen.append(controller.current.results.slot_on_screen())

    viewer.dims.events.point.connect(look)
    hands.cell(marking.table, 0)
    hands.hold(marking.table, Qt.Key.Key_Down, len(controller.current.rows) - 1)
    viewer.dims.events.point.disconnect(look)
    assert {slot[0] for slot in seen} >= set(TWENTY) - {15}  # which shares a row with 14
    hands.click(marking.tools.accept)
    assert set(states(controller)) == {"accepted"}
    hands.answer(("&Save",))
    hands.click(controller.view.exporting.export)
    wait(qtbot, controller)
    assert len(open_stack(stack.with_name("em_repaired.ome.zarr")).data) == 60
    assert hands.actions <= MOST_ACTIONS
    hands.answer(("&Open",), ("&Yes",))  # once more, to the same name
    hands.click(controller.view.exporting.export)
    wait(qtbot, controller)
    assert controller.current.work.idle


def test_rows_are_selected_with_shift_and_by_dragging(viewer, controller, hands, qtbot):
    controller.current.session.mark([3, 9, 15, 21, 27])
    controller.repair()
    wait(qtbot, controller)
    table, tools = controller.view.marking.table, controller.view.marking.tools
    hands.cell(table, 0)
    hands.cell(table, 2, column=4, keys=Qt.KeyboardModifier.ShiftModifier)  # unmarks nothing
    assert table.selected == [0, 1, 2]
    hands.click(tools.accept)
    assert states(controller) == ["accepted"] * 3 + ["synthesized"] * 2
    table.clearSelection()
    first, last = (table.visualItemRect(table.item(n, 1)).center() for n in (3, 4))
    qtbot.mousePress(table.viewport(), Qt.MouseButton.LeftButton, pos=first)
    qtbot.mouseMove(table.viewport(), last)
    qtbot.mouseRelease(table.viewport(), Qt.MouseButton.LeftButton, pos=last)
    assert table.selected == [3, 4]
    hands.answer(("&Yes",))
    hands.click(tools.revert)
    assert states(controller) == ["accepted"] * 3 + ["reverted"] * 2
    control = Qt.KeyboardModifier.ControlModifier
    for focus in (table, window()):
        focus.setFocus()
        hands.key(focus, Qt.Key.Key_Z, control)
    assert states(controller) == ["synthesized"] * 5
    hands.key(table, Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert states(controller) == ["accepted"] * 3 + ["synthesized"] * 2


def test_the_keys_of_the_viewer_work_in_the_table_and_not_in_the_field(
    viewer, controller, hands, qtbot
):
    marking = controller.view.marking
    controller.current.session.mark([3, 9])
    hands.cell(marking.table, 0)
    hands.key(marking.table, Qt.Key.Key_K)
    assert controller.current.results.slot_on_screen() == (9, 0)
    hands.key(marking.table, Qt.Key.Key_W)
    assert controller.current.session.marks.whole == {3}
    field = marking.slices.field
    hands.click(field)
    hands.type(field, "12w")
    hands.key(field, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert field.text() != "12w"
    assert controller.current.session.marks.whole == {3}
