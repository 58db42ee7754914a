"""The dock's widgets on their own: what they show, that it fits, and what they emit.

Covers: napari_ssan.widgets.repair.marks_table, napari_ssan.widgets.repair.marks_tools,
    napari_ssan.widgets.repair.panels, napari_ssan.widgets.repair.strip,
    napari_ssan.widgets.repair.suggest_panel,
    napari_ssan.widgets.repair.target_dialog,
    napari_ssan.widgets.shared.header, napari_ssan.widgets.shared.parts
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QLineEdit, QPushButton

from napari_ssan.inspection.find import Find
from napari_ssan.session.marks import Row
from napari_ssan.stack.region import Region
from napari_ssan.widgets.repair import target_dialog
from napari_ssan.widgets.repair import view as module
from napari_ssan.widgets.repair.state import DockState, ModelChoice
from napari_ssan.widgets.repair.view import RepairView
from napari_ssan.widgets.shared.colours import SUGGESTED
from napari_ssan.widgets.shared.state import Question

MODELS = [
    ModelChoice("Faithful (bundled)", "L_1", "ssan", "m", "CC BY-NC 4.0"),
    ModelChoice("Average of the neighbours", "both", "average"),
]
ROWS = (
    Row(((51, 0),), "region", 1, 0.004, "marked"),
    Row(((60, 0),), "region", 1, 0.061, "synthesized"),
    Row(((72, 0), (73, 0)), "whole", 2, 1.0, "reverted"),
)
READY = DockState(
    layers=("a", "b"),
    chosen=1,
    info="shape",
    section=60,
    can_mark=True,
    can_insert=True,
    count=98,
    rows=ROWS,
    pending=2,
    has_result=True,
    has_synthetic=True,
    accept=True,
    revert=True,
    can_export=True,
    device="Runs on CPU",
)


@pytest.fixture
def view(qtbot):
    view = RepairView(MODELS, [("CPU", "auto")])
    qtbot.addWidget(view)
    view.show_keys({"mark": "W", "lasso": "G", "before": "H"})
    view.resize(320, 800)
    view.show()
    return view


def test_it_needs_no_napari_and_no_torch():
    code = (
        "import sys, napari_ssan.widgets.repair.view, napari_ssan.workers;"
        "assert not {'napari', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_viewer_offers_the_sample(view, qtbot):
    view.render_state(DockState(refusal="Open a stack, or try the sample.", offer_sample=True))
    assert view.header.message.isVisible()
    assert not any(panel.isEnabled() for panel in view.panels)
    with qtbot.waitSignal(view.header.sample_wanted):
        view.header.sample.click()


def test_ready(view):
    view.render_state(READY)
    assert view.header.stack.currentText() == "b"
    assert not view.header.banner.isVisible()
    assert view.marking.mark.text() == "Mark slice 60 (W)"
    assert "(W)" in view.marking.mark.toolTip()
    assert "(G)" in view.marking.lasso.toolTip()
    assert "H" in view.looking.before.toolTip()
    assert view.repairing.repair.text() == "Repair 2 marks"
    assert not view.repairing.progress.isVisible()
    assert not view.repairing.where.isVisible()
    assert view.looking.accept.text() == "Accept 60"


def test_rendering_is_idempotent(view):
    view.render_state(READY)
    first = view.grab().toImage()
    view.render_state(READY)
    assert view.grab().toImage() == first


def test_everything_fits_at_320_pixels(view):
    view.render_state(replace(READY, section=1060, whole=True, drawing=True))
    assert view.area.widget().minimumSizeHint().width() <= 320
    assert view.minimumSizeHint().width() <= 320
    for button in view.findChildren(QPushButton):
        needed = button.fontMetrics().horizontalAdvance(button.text())
        assert button.isHidden() or not button.isVisible() or needed < button.width(), button.text()


def test_a_table_is_as_high_as_its_lines(view):
    table = view.marking.table
    view.resize(320, 600)
    view.render_state(DockState())
    assert table.height() < 30
    view.render_state(replace(READY, rows=ROWS[:1]))
    assert table.height() == 2 * 24 + 6
    many = tuple(replace(ROWS[0], marks=((z, 0),)) for z in range(50))
    view.render_state(replace(READY, rows=many))
    assert table.height() < 150
    view.resize(320, 1000)
    assert table.height() > 300


def test_the_row_of_the_slice_on_screen_is_bold(view):
    rows = tuple(replace(ROWS[0], marks=((z, 0),)) for z in (3, 7))

    def bold() -> list[bool]:
        return [view.marking.table.item(line, 0).font().bold() for line in range(2)]

    view.render_state(replace(READY, rows=rows, section=7))
    assert bold() == [False, True]
    view.render_state(replace(READY, rows=rows, section=3))
    assert bold() == [True, False]


def test_the_row_of_the_slice_on_screen_is_in_view(view, qtbot):
    view.resize(320, 620)
    view.show()
    qtbot.waitExposed(view)
    rows = tuple(replace(ROWS[0], marks=((z, 0),)) for z in range(50))
    view.render_state(replace(READY, rows=rows, section=0))
    table = view.marking.table
    for section in (45, 0):
        view.render_state(replace(READY, rows=rows, section=section))
        there = table.visualItemRect(table.item(section, 0))
        assert table.viewport().rect().contains(there.center())


def test_a_low_dock_has_repair_on_screen(view):
    """As in a window of 720 pixels; without napari's style, a dock needs less height."""
    view.repairing.show_models([replace(MODELS[0], natural=0)], 0)
    view.resize(320, 560)
    rows = tuple(replace(ROWS[0], marks=((z, 0),)) for z in range(20))
    ticks = dict.fromkeys(range(20), "marked")
    view.render_state(replace(READY, rows=rows, count=64, section=4, ticks=ticks, rejected=3))
    QApplication.processEvents()
    area, press = view.area.viewport(), view.repairing.repair
    assert press.mapTo(area, QPoint(0, press.height())).y() <= area.height()


def test_the_table_leaves_room_for_what_stands_below_it(view, qtbot):
    """Twenty marks do not push Compare and accept off a screen on which both fit."""
    many = tuple(replace(ROWS[0], marks=((z, 0),)) for z in range(50))
    view.resize(320, 900)
    view.show()
    qtbot.waitExposed(view)
    for _ in range(2):  # once more with the table that had room before
        view.render_state(replace(READY, rows=many))
    below = view.looking.mapTo(view, view.looking.rect().bottomLeft()).y()
    assert below <= view.area.height()
    assert view.marking.table.height() > 150


def test_long_words_do_not_widen_the_dock(view):
    sentence = "very_long_name_of_a_file_" * 5 + " cannot be read."
    view.repairing.show_note(sentence)
    assert view.repairing.notes.text() == sentence
    assert view.area.widget().minimumSizeHint().width() <= 320


def test_every_control_says_what_it_does(view):
    view.render_state(READY)
    controls = [w for panel in view.panels for w in panel.findChildren(QPushButton)]
    assert controls
    assert all(control.toolTip() for control in controls)


def test_the_best_quality_is_a_choice_for_networks(view, qtbot):
    repairing = view.repairing
    assert repairing.views() is None
    with qtbot.waitSignal(repairing.how_chosen):
        repairing.best.click()
    assert repairing.views() == 8
    assert "eight times slower" in repairing.best.toolTip()
    view.render_state(DockState(refusal="Open a stack."))
    assert repairing.views() == 8
    repairing.show_models(MODELS, 1)
    assert not repairing.best.isEnabledTo(repairing)
    assert repairing.views() is None


def test_the_slider_stands_where_the_model_is_and_asks_for_others(view, qtbot):
    repairing = view.repairing
    assert repairing.scale.isHidden()
    between = [replace(MODELS[0], natural=percent) for percent in (0, 40)]
    repairing.show_models(between, 1)
    assert not repairing.scale.isHidden()
    assert repairing.natural.value() == 4
    with qtbot.waitSignal(repairing.natural_chosen) as asked:
        repairing.natural.setValue(7)
    assert asked.args == [70]
    with qtbot.assertNotEmitted(repairing.natural_chosen):
        repairing.show_models(between, 0)
    assert repairing.natural.value() == 0


def test_buttons_emit(view, qtbot):
    view.render_state(READY)
    marking, looking = view.marking, view.looking
    for signal, button in (
        (marking.mark_pressed, marking.mark),
        (marking.lasso_toggled, marking.lasso),
        (marking.missing_pressed, marking.missing),
        (marking.suggest_pressed, marking.suggest),
        (view.repairing.repair_pressed, view.repairing.repair),
        (looking.before_toggled, looking.before),
        (looking.accept_pressed, looking.accept),
        (looking.revert_pressed, looking.revert),
        (looking.overlay_toggled, looking.overlay),
        (view.expected_error.map_toggled, view.expected_error.map),
    ):
        with qtbot.waitSignal(signal):
            button.click()
    view.exporting.format.setCurrentText("TIFF")
    view.exporting.with_mask.setChecked(True)
    with qtbot.waitSignal(view.exporting.export_pressed) as exported:
        view.exporting.export.click()
    assert exported.args == [".tif", True, False, False]
    view.exporting.with_mask.setChecked(False)
    view.exporting.with_error.setChecked(True)
    with qtbot.waitSignal(view.exporting.export_pressed) as exported:
        view.exporting.export.click()
    assert exported.args == [".tif", False, True, False]


def test_while_busy(view, qtbot):
    view.render_state(replace(READY, busy="slice 60, 12 s left", done=3, total=9, pending=1))
    repairing = view.repairing
    assert repairing.progress.isVisible()
    assert repairing.progress.busy.text() == "slice 60, 12 s left"
    assert (repairing.progress.bar.value(), repairing.progress.bar.maximum()) == (3, 9)
    assert repairing.repair.text() == "Queue 1 mark"
    with qtbot.waitSignal(repairing.progress.cancel_pressed):
        repairing.progress.cancel.click()
    view.render_state(replace(READY, busy="loading", pending=0))
    assert not repairing.repair.isVisible()
    qtbot.waitUntil(lambda: repairing.progress.bar.value() > 0)


def test_a_question_waits_for_its_answer(view, qtbot):
    view.render_state(replace(READY, question=Question("Found 3 marks.", "Restore", "Discard")))
    assert view.header.message.text() == "Found 3 marks."
    assert not view.repairing.repair.isEnabled()
    with qtbot.waitSignal(view.header.answered) as answered:
        view.header.no.click()
    assert answered.args == [False]


def test_rows_can_be_clicked(view, qtbot):
    view.render_state(READY)
    table = view.marking.table

    def click(row, column):
        place = table.visualItemRect(table.item(row, column)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    for row, column, asked in (
        (0, 1, "go"),
        (0, 3, "go"),
        (0, 4, "unmark"),
        (1, 3, "revert"),
        (2, 3, "redo"),
    ):
        with qtbot.waitSignal(table.asked) as caught:
            click(row, column)
        assert caught.args == [asked, row]


def test_models(view, qtbot):
    repairing = view.repairing
    assert "CC BY-NC" in repairing.terms.text()
    with qtbot.waitSignal(repairing.model_chosen):
        repairing.model.setCurrentIndex(1)
        repairing.model.activated.emit(1)
    assert not repairing.terms.isVisible()
    with qtbot.waitSignal(repairing.model_file_wanted):
        repairing.model.activated.emit(2)


def test_a_choice_of_devices_is_shown_where_there_is_one(qtbot):
    view = RepairView(MODELS, [("GPU", "auto"), ("CPU only", "cpu")])
    qtbot.addWidget(view)
    view.show()
    assert view.repairing.where.isVisible()
    view.repairing.where.setCurrentIndex(1)
    assert view.repairing.device_name() == "cpu"


def test_asking(view, monkeypatch, tmp_path):
    titles = []
    for end, known, expected in (("accept", 0, 1), ("accept", 3, 3), ("reject", 3, None)):

        def close(end=end):
            dialog = QApplication.activeModalWidget()
            titles.append(dialog.windowTitle())
            getattr(dialog, end)()

        QTimer.singleShot(0, close)
        assert view.ask_missing(5, known) == expected
    assert titles == ["Missing slices"] * 3
    paths = [tmp_path / "a.tif", tmp_path / "a.synthetic.tif"]
    for count, end, said in (
        (1, "Yes", "a.tif already exists"),
        (2, "No", "a.tif and a.synthetic.tif already exist"),
    ):
        asked = []

        def answer(parent, title, text, end=end, asked=asked):
            asked.append(text)
            return getattr(module.QMessageBox.StandardButton, end)

        monkeypatch.setattr(module.QMessageBox, "question", answer)
        assert view.ask_replace(paths[:count]) == (end == "Yes")
        assert asked[0].startswith(said)
    for answer, press in (("all", 0), ("accepted", 1), ("", 2)):

        def choose(press=press):
            box = QApplication.activeModalWidget()
            assert box.text() == "3 of 9 repaired slices are not accepted yet. Export them, too?"
            box.buttons()[press].click()

        QTimer.singleShot(0, choose)
        assert view.ask_unaccepted(6, 9) == answer
    monkeypatch.setattr(module.QFileDialog, "getOpenFileName", lambda *rest: ("m", ""))
    assert view.ask_model() == "m"


def test_the_name_of_a_file_is_asked_for(view, monkeypatch, tmp_path):
    for typed, expected in (("a", "a.tif"), ("a.tif", "a.tif"), ("a.TIF", "a.TIF")):
        answer = (str(tmp_path / typed), "")
        monkeypatch.setattr(target_dialog.QFileDialog, "getSaveFileName", lambda *rest, a=answer: a)
        assert view.ask_target(tmp_path, "x", ".tif") == tmp_path / expected
    monkeypatch.setattr(target_dialog.QFileDialog, "getSaveFileName", lambda *rest: ("", ""))
    assert view.ask_target(tmp_path, "x", ".tif") is None


def in_dialog(qtbot, act):
    """Do something in the dialog that opens next."""

    def go():
        dialog = QApplication.activeModalWidget()
        act(dialog)
        QTimer.singleShot(500, dialog.reject)  # in case that it is still open

    QTimer.singleShot(200, go)


def press_save(qtbot):
    def act(dialog):
        (box,) = dialog.findChildren(QDialogButtonBox)
        (save,) = [b for b in box.buttons() if b.text() in ("&Save", "&Open")]
        qtbot.mouseClick(save, Qt.MouseButton.LeftButton)

    return act


@pytest.mark.parametrize("exists", [True, False])
def test_an_ome_zarr_can_be_named_whether_it_exists_or_not(view, qtbot, tmp_path, exists):
    target = tmp_path / "x.ome.zarr"
    if exists:
        target.mkdir()
    in_dialog(qtbot, press_save(qtbot))
    assert view.ask_target(tmp_path, "x", ".ome.zarr") == target


def test_an_ome_zarr_that_is_entered_is_named(view, qtbot, tmp_path):
    (tmp_path / "y.ome.zarr").mkdir()

    def act(dialog):
        dialog.directoryEntered.emit(str(tmp_path / "y.ome.zarr"))
        press_save(qtbot)(dialog)

    in_dialog(qtbot, act)
    assert view.ask_target(tmp_path, "x", ".ome.zarr") == tmp_path / "y.ome.zarr"


def test_other_folders_are_walked_into_and_endings_added(view, qtbot, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.ome.zarr").mkdir()

    def act(dialog):
        dialog.findChild(QLineEdit).setText("sub")
        press_save(qtbot)(dialog)
        assert dialog.directory().path() == str(tmp_path / "sub")
        dialog.findChild(QLineEdit).setText("a")
        press_save(qtbot)(dialog)

    in_dialog(qtbot, act)
    assert view.ask_target(tmp_path, "x", ".ome.zarr") == tmp_path / "sub" / "a.ome.zarr"
    in_dialog(qtbot, lambda dialog: dialog.reject())
    assert view.ask_target(tmp_path, "x", ".ome.zarr") is None


FINDS = (
    Find(51, "contamination", 9.0, 0.97, "It is darker.", region=Region.from_mask(np.ones((4, 5)))),
    Find(14, "blank", 8.0, 0.91, "It is constant."),
    Find(30, "discontinuity", 3.0, 0.4, "Slices seem to be lost.", gap=2),
)
SUGGESTING = replace(
    READY,
    rows=(),
    suggestions=FINDS,
    suggestion=FINDS[1],
    rejected=2,
    inspected=True,
    ticks={find.z: "suggested" for find in FINDS},
)


def test_a_suggestion_is_shown_with_its_reason(view, qtbot):
    panel = view.marking.suggestions
    view.render_state(READY)
    assert not panel.isVisible()
    view.render_state(SUGGESTING)
    assert panel.isVisible()
    assert panel.text.text() == (
        "Suggestion 2 of 3: slice 14, blank, the whole slice, 91 % certain"
    )
    assert panel.reason.text() == "It is constant."
    assert panel.again.text() == "Suggest 2 rejected again"
    view.render_state(replace(SUGGESTING, suggestion=FINDS[0]))
    assert "slice 51, contamination, a region, 97 % certain" in panel.text.text()
    view.render_state(replace(SUGGESTING, suggestion=FINDS[2]))
    assert "after slice 30, 2 missing, 40 % certain" in panel.text.text()
    for signal, press in (
        (panel.accept_pressed, panel.accept),
        (panel.reject_pressed, panel.reject),
        (panel.again_pressed, panel.again),
    ):
        with qtbot.waitSignal(signal):
            press.click()
    for press, by in ((panel.next, 1), (panel.previous, -1)):
        with qtbot.waitSignal(panel.step_pressed) as stepped:
            press.click()
        assert stepped.args == [by]


def test_buttons_stay_under_the_mouse_from_suggestion_to_suggestion(view):
    places = set()
    for kind, reason in (
        ("hole", "It is constant."),
        (
            "contamination",
            "It is unlike both neighbours, which resemble each other: correlation 0.47 to 0.92.",
        ),
    ):
        shown = replace(SUGGESTING.suggestion, kind=kind, reason=reason)
        view.render_state(replace(SUGGESTING, suggestions=(shown,), suggestion=shown))
        QApplication.processEvents()
        places.add(view.marking.suggestions.accept.mapTo(view, QPoint(0, 0)).y())
    assert len(places) == 1


@pytest.mark.parametrize("rows", [(), ROWS], ids=["no marks", "marks"])
def test_repair_stays_on_screen_while_a_low_dock_suggests(view, rows):
    view.repairing.show_models([replace(MODELS[0], natural=0)], 0)
    view.resize(320, 620)
    device = "Runs on the CPU: no CUDA GPU · ~1 s per slice"
    ticks = {3: "suggested"}
    for _ in range(3):  # it does not come and go
        view.render_state(replace(SUGGESTING, rows=rows, device=device, count=64, ticks=ticks))
    QApplication.processEvents()
    area, press = view.area.viewport(), view.repairing.repair
    bottom = press.mapTo(area, QPoint(0, press.height())).y()
    assert bottom <= area.height()
    assert view.marking.table.isHidden()
    view.render_state(replace(SUGGESTING, rows=ROWS, suggestion=None, suggestions=()))
    assert view.marking.table.height() >= 3 * 24  # a few lines again
    assert not view.marking.table.isHidden()


@pytest.mark.parametrize("count", [3, 40])
def test_suggestions_in_the_table_are_worth_more_room_than_what_comes_later(view, qtbot, count):
    view.show()
    qtbot.waitExposed(view)
    finds = tuple(replace(FINDS[0], z=z) for z in range(count))
    state = replace(SUGGESTING, rows=ROWS, suggestions=finds, suggestion=finds[1])
    heights = []
    for height in (860, 1200):
        view.resize(320, height)
        for _ in range(3):
            view.render_state(state)
            QApplication.processEvents()
        heights.append(view.marking.table.height() // 24)
        press = view.repairing.repair
        bottom = press.mapTo(view.area.viewport(), QPoint(0, press.height())).y()
        assert bottom <= view.area.viewport().height()
    assert not view.marking.table.isHidden()
    assert 3 <= heights[0] <= 6
    assert heights[1] > heights[0]


def test_all_above_a_certainty_are_counted_before_they_are_marked(view, qtbot):
    panel = view.marking.suggestions
    view.render_state(SUGGESTING)
    assert panel.all.text() == "Mark 2 of at least"
    panel.least.setValue(30)  # sections to insert do not count
    assert panel.all.text() == "Mark 2 of at least"
    panel.least.setValue(95)
    assert panel.all.text() == "Mark 1 of at least"
    with qtbot.waitSignal(panel.accept_all_pressed) as pressed:
        panel.all.click()
    assert pressed.args == [0.95]
    panel.least.setValue(98)
    assert not panel.all.isEnabled()


def test_what_cannot_be_judged_is_said(view):
    view.render_state(replace(READY, inspected=True, cannot_tell=("Cannot tell regions.",)))
    assert view.marking.suggestions.notes.text() == "Cannot tell regions."
    assert not view.marking.suggestions.accept.isVisible()


def test_a_strip_shows_where_marks_and_suggestions_lie(view, qtbot):
    strip = view.marking.strip
    view.render_state(READY)
    assert not strip.isVisible()
    view.render_state(replace(SUGGESTING, section=14))
    assert strip.isVisible()
    picture = strip.grab().toImage()
    ratio = picture.devicePixelRatio()

    def colour(z):
        return picture.pixelColor(int(strip.place(z) * ratio), int(9 * ratio)).name()

    assert colour(51) == colour(14) == SUGGESTED
    assert colour(70) != SUGGESTED
    for at, expected in ((strip.place(51) + 3, 51), (strip.place(80), 80)):
        with qtbot.waitSignal(strip.asked) as asked:
            qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(int(at), 9))
        assert abs(asked.args[0] - expected) <= (expected == 80)
