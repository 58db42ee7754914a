"""A volume that is repaired in napari: written into, put back, handed to a cluster.

Covers: napari_ssan.widgets.repair.volume_work, napari_ssan.widgets.repair.export_panel,
    napari_ssan.widgets.repair.export_questions, napari_ssan.widgets.repair.hand_over
"""

from __future__ import annotations

import hashlib
import shlex
import threading

import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from napari_ssan.cli import app
from napari_ssan.files import Calibration, read_provenance, save_stack
from napari_ssan.plugin.readers import get_reader
from napari_ssan.stack.region import Region
from napari_ssan.volumes import put
from napari_ssan.volumes.claim import Claim
from napari_ssan.volumes.status import begun, status
from napari_ssan.widgets.repair.export_panel import INTO
from napari_ssan.widgets.repair.hand_over import HandOverDialog

REGION = Region.from_mask(np.tri(20, 30, 5, dtype=bool), 20, 25)


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def path(volume, tmp_path):
    """An OME-Zarr volume."""
    made = tmp_path / "the cortex.ome.zarr"
    save_stack(made, volume, Calibration.of("zyx", scale=(30, 4, 4), units=("nm",) * 3))
    return made


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def controller(viewer, path, make_controller):
    open_in(viewer, path)
    made = make_controller(viewer)
    made.finish()
    return made


def open_in(viewer, path):
    for each in get_reader(str(path))(str(path)):
        viewer.add_layer(Layer.create(*each))


def repaired(controller):
    """Mark a slice and a region, repair and accept them; returns what is to be written."""
    session = controller.current.session
    session.mark([2])
    session.add_region(6, REGION)
    controller.repair()
    controller.finish()
    session.accept([(2, 0), (6, 0)])
    return np.asarray(session.repaired[:])


def click(button, qtbot):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def into_the_volume(controller, qtbot):
    exporting = controller.view.exporting
    exporting.format.setCurrentText(INTO)
    assert not any(extra.isEnabled() for extra in exporting.extras)
    click(exporting.export, qtbot)


def states(controller):
    return {row.marks: row.state for row in controller.current.rows}


def pixels(path):
    return np.asarray(zarr.open_array(path / "0", mode="r"))


def test_a_volume_is_written_into_and_put_back(
    viewer, controller, path, volume, qtbot, notifications
):
    before, view = content(path), controller.view
    expected = repaired(controller)
    into_the_volume(controller, qtbot)
    controller.finish()
    np.testing.assert_array_equal(pixels(path), expected)
    assert notifications[-1].message == (
        "Wrote 2 slices into the cortex.ome.zarr; their originals are kept."
    )
    assert [r.section for r in read_provenance(path).sections] == [2, 6]
    assert status(path).restorable == (2, 6)
    # What is in the file is shown as that, and is no repair of the session any more.
    assert states(controller) == {((2, 0),): "synthetic", ((6, 0),): "synthetic"}
    assert controller.current.results.layer is None
    assert controller.current.session.history.last() is None
    assert not view.exporting.export.isEnabled()
    image = controller.current.image
    np.testing.assert_array_equal(np.asarray(image.data[2]), expected[2])
    view.looking.overlay.click()
    assert np.asarray(controller.current.results.overlays["synthetic"].data[2]).all()

    asked = []
    view.ask_restore = lambda name: asked.append(name)
    assert not view.exporting.restore.isHidden()
    click(view.exporting.restore, qtbot)
    controller.finish()
    assert content(path) != before
    view.ask_restore = lambda name: asked.append(name) or True
    click(view.exporting.restore, qtbot)
    controller.finish()
    assert asked == ["the cortex.ome.zarr"] * 2
    assert content(path) == before
    assert [p.name for p in path.parent.iterdir() if "originals" in p.name] == []
    assert states(controller) == {((2, 0),): "marked", ((6, 0),): "marked"}
    assert view.exporting.restore.isHidden()
    assert not np.asarray(controller.current.results.overlays["synthetic"].data[2]).any()


def test_only_what_is_accepted_is_written_if_the_user_says_so(controller, path, qtbot):
    session = controller.current.session
    session.mark([2, 6])
    controller.repair()
    controller.finish()
    session.accept([(6, 0)])
    controller.view.ask_unaccepted = lambda accepted, all_: "accepted"
    into_the_volume(controller, qtbot)
    controller.finish()
    assert status(path).done == (6,)
    assert states(controller) == {((2, 0),): "synthesized", ((6, 0),): "synthetic"}


def test_what_was_repaired_anew_meanwhile_stays_a_repair(controller, path, qtbot, monkeypatch):
    repaired(controller)
    written, gate = put.put_in_place, threading.Event()
    monkeypatch.setattr(put, "put_in_place", lambda *rest: gate.wait(20) and written(*rest))
    into_the_volume(controller, qtbot)
    controller.current.session.revert([(2, 0)])
    gate.set()
    controller.finish()
    assert states(controller) == {((2, 0),): "reverted", ((6, 0),): "synthetic"}


def test_a_cancelled_export_goes_on_or_is_undone(controller, path, qtbot, monkeypatch):
    before = content(path)
    expected = repaired(controller)
    written = put.put_in_place

    def slowly(path, repaired, tell):
        def then(item):
            if "slice 6" in getattr(item, "text", ""):
                controller.current.cancel()
            tell(item)

        return written(path, repaired, then)

    monkeypatch.setattr(put, "put_in_place", slowly)
    into_the_volume(controller, qtbot)
    controller.finish()
    assert status(path).left == (6,)
    assert set(states(controller).values()) == {"accepted"}
    assert controller.current.volume.restorable
    monkeypatch.undo()
    into_the_volume(controller, qtbot)
    controller.finish()
    np.testing.assert_array_equal(pixels(path), expected)
    assert set(states(controller).values()) == {"synthetic"}
    controller.view.ask_restore = lambda name: True
    click(controller.view.exporting.restore, qtbot)
    controller.finish()
    assert content(path) == before


def test_what_cannot_be_written_is_a_sentence(controller, path, qtbot, notifications):
    before = content(path)
    session = controller.current.session
    repaired(controller)
    with Claim(path, lambda text: None):
        into_the_volume(controller, qtbot)
        controller.finish()
    assert "is being changed by process" in notifications[-1].message
    session.set_missing(4, 1)
    controller.repair()
    controller.finish()
    session.accept([(4, 1)])
    into_the_volume(controller, qtbot)
    controller.finish()
    assert notifications[-1].message.startswith("Slices were inserted")
    assert content(path) == before
    assert not begun(path)


def test_marks_are_still_known_after_the_volume_was_changed(
    viewer, controller, path, make_controller, qtbot
):
    """They are kept by what the stack looks like, and that has changed."""
    session = controller.current.session
    session.mark([0])
    controller.repair()
    controller.finish()
    session.accept([(0, 0)])
    session.mark([5])
    into_the_volume(controller, qtbot)
    controller.finish()
    controller.close()
    viewer.layers.clear()
    open_in(viewer, path)
    other = make_controller(viewer)
    other.finish()
    assert str(other.current.offer).startswith("1 mark from today")


def test_a_file_that_is_no_volume_is_not_written_into(
    viewer, make_controller, volume, tmp_path, qtbot
):
    tifffile.imwrite(tmp_path / "a.tif", volume, photometric="minisblack")
    open_in(viewer, tmp_path / "a.tif")
    exporting = make_controller(viewer).view.exporting
    assert exporting.format.findText(INTO) < 0
    assert exporting.hand_over.isHidden()
    assert exporting.restore.isHidden()


def test_it_is_handed_over_to_a_cluster(controller, path, tmp_path, qtbot, monkeypatch):
    session = controller.current.session
    session.mark([2])
    session.add_region(6, REGION)
    file, shown = tmp_path / "marks.json", []
    controller.view.ask_target = lambda *rest: file

    def look(dialog):
        dialog.show()
        dialog.scheduler.setText("dask.json")
        qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
        shown.append(QApplication.clipboard().text())
        qtbot.mouseClick(dialog.done_button, Qt.MouseButton.LeftButton)

    monkeypatch.setattr(HandOverDialog, "exec", look)
    click(controller.view.exporting.hand_over, qtbot)
    controller.finish()
    words = shlex.split(shown[0])
    assert words == [
        *("napari-ssan", "repair", str(path), "--in-place", "--defects-file", str(file)),
        *("--method", "average", "--scheduler", "dask.json"),
    ]
    # It does what it says, here with no cluster.
    done = CliRunner().invoke(app, words[1:-2])
    assert done.exit_code == 0, done.output
    assert status(path).done == (2, 6)


def test_nothing_to_hand_over_is_a_sentence(controller, tmp_path, notifications):
    controller.current.session.set_missing(4, 1)
    controller.view.ask_target = lambda *rest: tmp_path / "marks.json"
    controller.view.exporting.hand_over_pressed.emit()
    assert notifications[-1].message.startswith("Missing slices cannot be inserted in place")
    assert not (tmp_path / "marks.json").exists()
