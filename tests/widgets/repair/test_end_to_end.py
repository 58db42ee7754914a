"""The dock in a real viewer, as a user meets it. Access off the GUI thread is refused.

Covers: napari_ssan.widgets.shared.dock
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow

from napari_ssan.engine.repaired import Patch
from napari_ssan.events import Progress
from napari_ssan.session import jobs
from napari_ssan.widgets.fine_tune.dock import FineTuneDock
from napari_ssan.widgets.repair.dock import RepairDock
from napari_ssan.widgets.shared.dock import parent_of


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


def open_dock(viewer, method="average"):
    dock, widget = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
    controller = widget.controller
    model = controller.view.repairing.model
    index = [choice.method for choice in controller.models.entries].index(method)
    model.setCurrentIndex(index)
    model.activated.emit(index)
    controller.finish()
    return dock, widget


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(
        volume, scale=(30, 4, 4), units="nm", axis_labels=("z", "y", "x"), name="em"
    )


@pytest.fixture
def dock(viewer, image):
    return open_dock(viewer)[1]


def window():
    (found,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
    return found


def canvas():
    """The widget that shows the layers."""
    kinds = [w for w in window().findChildren(object) if type(w).__name__ == "CanvasBackendDesktop"]
    return kinds[0]


def stroke(qtbot, points):
    """Draw with the mouse, with real Qt events."""
    widget = canvas()

    def send(kind, point, button, buttons):
        place = QPointF(*point)
        where = QPointF(widget.mapToGlobal(QPoint(*(int(v) for v in point))))
        event = QMouseEvent(kind, place, where, button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(widget, event)
        qtbot.wait(15)  # napari drops moves that come faster

    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    send(QEvent.Type.MouseMove, points[0], none, none)
    send(QEvent.Type.MouseButtonPress, points[0], left, left)
    for point in points[1:]:
        send(QEvent.Type.MouseMove, point, none, left)
    send(QEvent.Type.MouseButtonRelease, points[-1], left, none)


def states(dock):
    return {row.marks: row.state for row in dock.controller.current.rows}


def done(dock):
    return dock.controller.slow.current is None and dock.controller.quick.current is None


def digest(volume):
    return hashlib.sha256(volume.tobytes()).hexdigest()


def test_mark_repair_look_accept_export(viewer, dock, volume, qtbot, tmp_path, monkeypatch):
    before = digest(volume)
    view, controller = dock.controller.view, dock.controller
    viewer.dims.set_point(0, 60)
    qtbot.keyClick(window(), Qt.Key.Key_W)
    assert states(dock) == {((2, 0),): "marked"}
    qtbot.mouseClick(view.repairing.repair, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    assert states(dock) == {((2, 0),): "synthesized"}
    assert viewer.canvas.overlays.text.text == "slice 2: synthetic, from 1 and 3 · not accepted yet"

    result = viewer.layers["em [repaired]"]
    after = viewer.screenshot(flash=False)
    qtbot.keyPress(window(), Qt.Key.Key_H)
    assert not result.visible
    original = viewer.screenshot(flash=False)
    qtbot.keyRelease(window(), Qt.Key.Key_H)
    assert result.visible
    assert (after != original).any()

    qtbot.mouseClick(view.looking.accept, Qt.MouseButton.LeftButton)
    assert states(dock) == {((2, 0),): "accepted"}
    target = tmp_path / "out.tif"
    controller.view.ask_target = lambda *rest: target
    view.exporting.format.setCurrentText("TIFF")
    qtbot.mouseClick(view.exporting.export, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    assert (tifffile.imread(target) == np.asarray(result.data)).all()

    qtbot.mouseClick(view.looking.revert, Qt.MouseButton.LeftButton)
    assert states(dock) == {((2, 0),): "reverted"}
    assert (np.asarray(result.data) == volume).all()
    assert digest(volume) == before


def test_a_lasso_is_drawn_with_the_mouse(viewer, dock, qtbot):
    viewer.dims.set_point(0, 90)
    qtbot.keyClick(window(), Qt.Key.Key_G)
    widget = canvas()
    centre = np.array([widget.width(), widget.height()]) / 2
    angle = np.linspace(0, 2 * np.pi, 16)
    stroke(qtbot, [tuple(centre + 60 * np.array([np.cos(a), np.sin(a)])) for a in angle])
    qtbot.waitUntil(lambda: states(dock) == {((3, 0),): "marked"}, timeout=5000)
    dock.controller.repair()
    assert not dock.controller.current.marks.drawing  # a look at the result draws nothing
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    assert states(dock) == {((3, 0),): "synthesized"}


def test_a_layer_may_come_while_a_lasso_is_drawn(viewer, dock, qtbot):
    """A patch that arrives during a stroke does not end the stroke."""
    controller = dock.controller
    controller.current.session.mark([6])
    controller.repair()
    viewer.dims.set_point(0, 90)
    controller.toggle_lasso(True)
    widget = canvas()
    centre = np.array([widget.width(), widget.height()]) / 2
    points = [
        tuple(centre + 60 * np.array([np.cos(a), np.sin(a)])) for a in np.linspace(0, 6.2, 40)
    ]
    stroke(qtbot, points)
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    assert states(dock) == {((3, 0),): "marked", ((6, 0),): "synthesized"}


def test_slices_and_projections_of_the_result_are_shown(viewer, dock, qtbot):
    dock.controller.current.session.mark([2])
    dock.controller.current.session.set_missing(5, 2)
    dock.controller.repair()
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    viewer.dims.order = (1, 0, 2)
    viewer.screenshot(flash=False)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    viewer.screenshot(flash=False)
    viewer.dims.ndisplay = 2
    assert dock.controller.view.marking.mark.isEnabled()


def slowly(monkeypatch, gate):
    plain = jobs.patches

    def patches(*given, **more):
        for item in plain(*given, **more):
            if isinstance(item, Progress):
                tile = item
            while isinstance(item, Patch) and not gate.acquire(timeout=0.01):
                yield tile  # where it can be cancelled
            yield item

    monkeypatch.setattr(jobs, "patches", patches)


@pytest.mark.parametrize("how", ["dock", "viewer"])
def test_closing_while_a_repair_runs(viewer, image, qtbot, monkeypatch, how, volume):
    gate = threading.Semaphore(1)
    slowly(monkeypatch, gate)
    dock, widget = open_dock(viewer)
    controller = widget.controller
    controller.current.session.mark([2, 6])
    controller.repair()
    qtbot.waitUntil(lambda: "synthesized" in states(widget).values(), timeout=10000)
    folder = controller.current._autosave.sidecar.folder
    if how == "dock":
        viewer.window.remove_dock_widget(dock)
        assert not viewer.keymap
        again = open_dock(viewer)[1]
        assert list(states(again).values()) == ["synthesized", "marked"]
        controller = again.controller
        viewer.window.remove_dock_widget("all")
    else:
        viewer.close()
        qtbot.wait(50)
    assert controller.slow.current is None
    assert len(list(folder.glob("2-0-*.npy"))) == 1


def test_reopening_a_file_offers_what_was_saved(make_napari_viewer_proxy, volume, tmp_path, qtbot):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume, photometric="minisblack")
    first = make_napari_viewer_proxy()
    first.open(str(path), plugin="napari-ssan")
    widget = open_dock(first)[1]
    widget.controller.current.session.mark([2])
    widget.controller.repair()
    qtbot.waitUntil(lambda: done(widget), timeout=20000)
    assert (tmp_path / ".stack.tif.napari-ssan").is_dir()
    first.close()

    second = make_napari_viewer_proxy()
    second.open(str(path), plugin="napari-ssan")
    widget = open_dock(second)[1]
    head = widget.controller.view.header
    assert head.message.text() == "Found 1 mark from today, already repaired."
    head.yes.click()
    assert states(widget) == {((2, 0),): "synthesized"}
    assert "stack [repaired]" in second.layers


def test_file_save_keeps_scale_and_provenance(viewer, dock, qtbot, tmp_path):
    dock.controller.current.session.mark([2])
    dock.controller.repair()
    qtbot.waitUntil(lambda: done(dock), timeout=20000)
    layer = viewer.layers["em [repaired]"]
    (written,) = layer.save(str(tmp_path / "a.ome.tif"))
    again, _ = viewer.open(written, plugin="napari-ssan")
    assert list(again.scale) == [30, 4, 4]
    assert (np.asarray(again.data) == np.asarray(layer.data)).all()


def test_on_a_small_screen_both_docks_share_one_place_and_their_buttons_are_on_screen(
    viewer, dock, qtbot
):
    window().resize(1280, 720)
    viewer.window.add_plugin_dock_widget("napari-ssan", "Fine-tune")
    (repairer,), (tuner,) = (window().findChildren(kind) for kind in (RepairDock, FineTuneDock))
    places = [parent_of(each, QDockWidget) for each in (repairer, tuner)]
    qtbot.waitUntil(lambda: places[1] in window().tabifiedDockWidgets(places[0]), timeout=5000)
    qtbot.waitUntil(lambda: on_screen(tuner.controller.view.run.train), timeout=5000)
    repairer.controller.current.session.mark(range(1, 10, 2))
    places[0].raise_()
    view = repairer.controller.view
    for button in (view.repairing.repair, view.exporting.export):
        qtbot.waitUntil(lambda button=button: on_screen(button), timeout=5000)
    assert view.marking.table.height() < 150


def on_screen(widget):
    """Whether all of a widget can be seen."""
    return widget.visibleRegion().boundingRect() == widget.rect()


def test_an_empty_viewer_opens_the_sample(viewer, qtbot):
    widget = open_dock(viewer)[1]
    qtbot.mouseClick(widget.controller.view.header.sample, Qt.MouseButton.LeftButton)
    assert len(viewer.layers) == 1
    assert widget.controller.current is not None
    assert widget.controller.view.marking.mark.isEnabled()


def test_opening_the_dock_loads_no_torch_and_a_mark_loads_it_in_a_worker():
    code = (
        "import sys, threading, napari_ssan\n"
        "from napari.components import ViewerModel\n"
        "from qtpy.QtWidgets import QApplication\n"
        "from napari_ssan.widgets.repair.dock import RepairDock\n"
        "application = QApplication([])\n"
        "viewer = ViewerModel()\n"
        "import numpy\n"
        "viewer.add_image(numpy.arange(64 * 64 * 5, dtype='uint16').reshape(5, 64, 64))\n"
        "dock = RepairDock(viewer)\n"
        "dock.controller.finish()\n"
        "assert 'torch' not in sys.modules\n"
        "class Watch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'torch': seen.append(threading.current_thread().name)\n"
        "seen = []\n"
        "sys.meta_path.insert(0, Watch())\n"
        "dock.controller.current.session.mark([2])\n"
        "dock.controller.finish()\n"
        "dock.close()\n"
        "assert seen == ['napari-ssan'], seen\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_contaminated_slice_is_repaired(viewer, data_folder, qtbot):
    """The real case: the lassoed region changes, and not a pixel elsewhere."""
    volume = tifffile.imread(data_folder / "data" / "kasthuri_z000-097.tif")[54:67]
    viewer.add_image(volume, scale=(30, 24, 24), units="nm", name="kasthuri")
    widget = open_dock(viewer)[1]
    controller = widget.controller
    controller.toggle_lasso(True)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.stack([np.full(40, 6.0), 27 + 44 * np.sin(angle), 310 + 52 * np.cos(angle)], 1)
    viewer.layers["Marks"].add_polygons(outline)
    qtbot.waitUntil(lambda: bool(states(widget)), timeout=5000)
    controller.repair()
    qtbot.waitUntil(lambda: done(widget), timeout=60000)
    repaired = np.asarray(viewer.layers["kasthuri [repaired]"].data)
    region = np.zeros(volume.shape, bool)
    ((_, found),) = controller.current.session.marks.by_key().values()
    region[6][found.window] = found.mask
    assert (repaired[~region] == volume[~region]).all()
    # The contamination is dark and blurred; what replaces it is as bright as its surroundings.
    assert repaired[region].mean() > volume[region].mean() + 10


def test_closing_the_window_while_a_repair_runs(tmp_path):
    """With the button of the window, which napari hears of last."""
    code = """
import numpy as np, napari, threading
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMainWindow
from napari_ssan.engine.repaired import Patch
from napari_ssan.events import Progress
from napari_ssan.session import jobs
plain, first = jobs.patches, threading.Semaphore(1)
def one_only(*rest, **more):
    for item in plain(*rest, **more):
        if isinstance(item, Progress):
            tile = item
        while isinstance(item, Patch) and not first.acquire(timeout=0.01):
            yield tile  # without end: only the closing can stop it
        yield item
jobs.patches = one_only
viewer = napari.Viewer()
viewer.add_image(np.random.default_rng(0).integers(0, 255, (30, 64, 64)).astype("uint8"))
_, dock = viewer.window.add_plugin_dock_widget("napari-ssan", "Repair slice")
controller = dock.controller
controller.models.choose([choice.method for choice in controller.models.entries].index("average"))
def begin():
    controller.current.session.mark([2, 5, 8, 11, 14, 17, 20, 23])
    controller.repair()
    controller.toggle_lasso(True)
def look():
    if any(row.state == "synthesized" for row in controller.current.rows):
        (window,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow)]
        window.close()
    else:
        QTimer.singleShot(50, look)
QTimer.singleShot(100, begin)
QTimer.singleShot(500, look)
napari.run()
assert {row.state for row in controller.current.rows} == {"synthesized", "marked"}
assert threading.active_count() == 1, threading.enumerate()
"""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "Error" not in ended.stderr
    assert "QThread" not in ended.stderr
    (journal,) = tmp_path.rglob("journal.jsonl")
    assert "synthesized" in journal.read_text()
    assert not list(tmp_path.rglob("*.lock"))
