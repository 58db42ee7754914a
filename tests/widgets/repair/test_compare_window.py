"""Several results of a slice in the dock, and the window that compares them.

Covers: napari_ssan.widgets.repair.compare_controller
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_ssan.engine import side_by_side
from napari_ssan.session import comparison
from napari_ssan.session.comparison import Picture
from napari_ssan.widgets.repair.compare_window import CompareWindow


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def controller(viewer, volume, make_controller):
    viewer.add_image(volume, scale=(30, 4, 4), units="nm", axis_labels=("z", "y", "x"), name="em")
    return make_controller(viewer)


def at(viewer, z):
    viewer.dims.set_point(0, z * 30)


def again_with(controller, method):
    number = [choice.method for choice in controller.models.entries].index(method)
    controller.view.looking.models.actions()[number].trigger()
    controller.finish()


@pytest.fixture
def repaired(viewer, controller):
    controller.current.session.mark([2])
    controller.repair()
    controller.finish()
    at(viewer, 2)
    return controller


def words(window):
    return [drawing.words for drawing in window._pictures]


# ---- several results


def test_a_second_model_needs_no_revert_and_the_chosen_result_is_shown(viewer, repaired):
    looking, layer = repaired.view.looking, viewer.layers["em [repaired]"]
    first = np.array(layer.data[2])
    assert looking.choice.isHidden()
    looking.accept.click()
    repaired.current.session.mark([6])  # is left alone
    again_with(repaired, "copy")
    assert not looking.choice.isHidden()
    assert [looking.result.itemText(n) for n in range(2)] == ["average", "copy"]
    assert looking.result.currentText() == "copy"
    second = np.array(layer.data[2])
    assert (first != second).any()
    assert looking.accept.isEnabled()
    assert repaired.current.session.pending == {(6, 0)}
    looking.result.setCurrentIndex(0)
    looking.result.activated.emit(0)
    np.testing.assert_array_equal(layer.data[2], first)


def test_a_slice_is_repaired_again_once_at_a_time(viewer, repaired, notifications):
    gate = threading.Event()
    repaired.slow.submit(lambda report, cancel: gate.wait(10))
    number = [choice.method for choice in repaired.models.entries].index("copy")
    repaired.repair_again(number)
    repaired.repair_again(number)
    assert "being repaired already" in notifications[-1].message
    gate.set()
    repaired.finish()
    assert repaired.current.session.results((2, 0)) == ["average", "copy"]
    assert not repaired.current.session.pending


def test_a_second_result_that_is_cancelled_leaves_the_first(viewer, repaired):
    gate = threading.Event()
    repaired.slow.submit(lambda report, cancel: gate.wait(10))
    repaired.repair_again([c.method for c in repaired.models.entries].index("copy"))
    repaired.current.cancel()
    gate.set()
    repaired.finish()
    assert repaired.current.session.results((2, 0)) == ["average"]
    assert not repaired.current.session.pending
    assert repaired.view.looking.accept.isEnabled()


def test_only_what_is_repaired_can_be_repaired_again(viewer, repaired):
    looking = repaired.view.looking
    assert looking.again.isEnabled()
    assert looking.compare.isEnabled()
    at(viewer, 4)
    assert not looking.again.isEnabled()
    assert not looking.compare.isEnabled()
    repaired.repair_again(0)
    assert repaired.slow.current is None


# ---- the window


def test_it_shows_the_slice_on_screen_and_follows_it(viewer, repaired, volume):
    again_with(repaired, "copy")
    repaired.view.looking.compare.click()
    repaired.finish()
    window = repaired.comparing.window
    assert window.isVisible()
    assert window.windowTitle() == "Compare: slice 2"
    assert words(window) == [
        "previous: slice 1",
        "before",
        "next: slice 3",
        "after: average",
        "after: copy, chosen",
    ]
    at(viewer, 4)
    repaired.finish()
    assert "Nothing on this slice is repaired" in window.hint.text()
    at(viewer, 2)
    repaired.finish()
    assert len(words(window)) == 5
    window.results.setCurrentIndex(0)
    window.results.activated.emit(0)
    repaired.finish()
    assert repaired.current.session.chosen((2, 0)) == "average"
    assert words(window)[3] == "after: average, chosen"


def test_nothing_is_made_twice_and_the_last_wish_counts(viewer, repaired, monkeypatch):
    made, go = [], threading.Event()
    real = comparison.Comparison.pictures

    def pictures(self, centre, span, limits):
        made.append(span)
        go.wait(10)
        return real(self, centre, span, limits)

    monkeypatch.setattr(comparison.Comparison, "pictures", pictures)
    repaired.comparing.open()
    for _ in range(5):
        repaired.comparing.zoom(0.8)
        repaired.refresh()
    go.set()
    repaired.finish()
    assert len(made) == 2  # the first, and the last
    assert made[-1] == repaired.comparing._span
    repaired.refresh()
    repaired.finish()
    assert len(made) == 2


def test_wheel_and_mouse_zoom_and_move_all_pictures(viewer, repaired, qtbot):
    repaired.comparing.open()
    repaired.finish()
    window = repaired.comparing.window
    canvas = window.canvas
    size = window._pictures[0].picture.size()
    for _ in range(12):
        turn = QWheelEvent(QPointF(50, 50), canvas.mapToGlobal(QPointF(50, 50)), QPoint(0, 0),
                           QPoint(0, 120), Qt.MouseButton.NoButton,
                           Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
                           False)  # fmt: skip
        QApplication.sendEvent(canvas, turn)
    repaired.finish()
    assert window._pictures[0].picture.width() < size.width()
    centre = repaired.comparing._centre
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=QPoint(50, 50))
    qtbot.mouseMove(canvas, QPoint(60, 90))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=QPoint(60, 90))
    repaired.finish()
    assert repaired.comparing._centre[0] < centre[0]


def test_cuts_are_made_in_a_worker_at_their_true_height(viewer, repaired, monkeypatch):
    threads = set()
    real = side_by_side.across

    def across(*rest):
        threads.add(threading.get_ident())
        return real(*rest)

    monkeypatch.setattr(comparison, "across", across)
    repaired.comparing.open()
    repaired.comparing.window.way.setCurrentText("XZ and YZ")
    repaired.finish()
    shown = repaired.comparing.window._pictures
    assert words(repaired.comparing.window) == ["XZ before", "XZ after", "YZ before", "YZ after"]
    assert shown[0].picture.height() == 10
    assert (shown[0].aspect, shown[0].row) == (7.5, 2)
    assert threads
    assert threading.get_ident() not in threads


def test_closing_the_window_or_the_dock(viewer, repaired):
    repaired.comparing.open()
    window = repaired.comparing.window
    window.close()
    assert repaired.comparing.window is None
    repaired.refresh()
    repaired.comparing.open()
    repaired.close()
    assert repaired.comparing.window is None


@pytest.fixture
def window(qtbot, qapp):
    parent = QWidget()
    qtbot.addWidget(parent)
    window = CompareWindow(parent)
    names = ("previous: slice 1", "before", "after: a", "after: b, chosen", "next: slice 3")
    pictures = [Picture(name, np.full((20, 30), 50 * n + 20, np.uint8))
                for n, name in enumerate(names)]  # fmt: skip
    window.resize(600, 400)
    window.show_pictures("slice 2", pictures)
    window.show()
    yield window
    window.close()


def colour(window, x, y):
    return window.canvas.grab().toImage().pixelColor(x, y).red()


def test_two_pictures_can_be_swiped(window, qtbot):
    window.way.setCurrentText("Swipe")
    assert window.one.currentText() == "before"
    assert window.other.currentText() == "after: b, chosen"
    width, middle = window.canvas.width(), window.canvas.height() // 2
    assert (colour(window, width // 2 - 40, middle), colour(window, width // 2 + 40, middle)) == (
        70, 170,
    )  # fmt: skip
    qtbot.mouseMove(window.canvas, QPoint(width // 2 + 80, middle))
    assert colour(window, width // 2 + 40, middle) == 70


def test_two_pictures_blink(window, qtbot):
    window.way.setCurrentText("Blink")
    seen = set()
    qtbot.waitUntil(
        lambda: seen.add(window.canvas._shown[0].words) or seen == {"before", "after: b, chosen"},
        timeout=10000,
    )
    window.way.setCurrentText("Side by side")
    assert not window._timer.isActive()
    assert len(window.canvas._shown) == 5


def test_the_hint_says_how_the_border_is_drawn(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    window = CompareWindow(parent)
    assert "border" not in window.hint.text()
    window.way.setCurrentText("Swipe")
    assert "Move the mouse over the pictures to draw the border" in window.hint.text()
    window.way.setCurrentText("Side by side")
    assert "border" not in window.hint.text()
