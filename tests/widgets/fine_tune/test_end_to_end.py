"""The dock in a real viewer, with the real backend and a tiny network.

Covers: napari_ssan.widgets.fine_tune.backend, napari_ssan.widgets.fine_tune.dock
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

import numpy as np
import psutil
import pytest
from qtpy.QtCore import Qt
from scipy.ndimage import gaussian_filter

from napari_ssan.finetune.runs import runs
from napari_ssan.network.model_file import own_folder
from napari_ssan.network.model_library import list_models


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    random = np.random.default_rng(0)
    structure = gaussian_filter(random.standard_normal((30, 64, 64)), (1.5, 4, 4))
    grain = 4 * random.standard_normal(structure.shape)
    return (128 + 40 * structure / structure.std() + grain).clip(1, 254).astype(np.uint8)


@pytest.fixture
def viewer(make_napari_viewer_proxy, user_folder, tiny_model, stack):
    own_folder().mkdir(parents=True)
    shutil.copy(tiny_model, own_folder() / "tiny.safetensors")
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(stack, name="em")
    return viewer


def open_dock(viewer, qtbot):
    dock, widget = viewer.window.add_plugin_dock_widget("napari-ssan", "Fine-tune")
    controller = widget.controller
    qtbot.waitUntil(lambda: controller.view.options.base.findData("tiny") >= 0, timeout=20000)
    return dock, controller


def train(controller, qtbot):
    """Set it up as a user does, press Train, and wait for the first steps."""
    view = controller.view
    qtbot.mouseClick(view.options.faithful, Qt.MouseButton.LeftButton)
    index = view.options.base.findData("tiny")
    view.options.base.setCurrentIndex(index)
    view.options.base.activated.emit(index)
    view.options.minutes.setValue(5)
    qtbot.waitUntil(lambda: view.run.train.isEnabled(), timeout=20000)
    qtbot.mouseClick(view.run.train, Qt.MouseButton.LeftButton)
    stepping(controller, qtbot)


def stepping(controller, qtbot):
    known = controller.trainer.history
    qtbot.waitUntil(lambda: known.latest is not None and known.latest.step > 3, timeout=60000)


def children():
    """Processes that fine-tune; their own workers, which have the same command line, are not."""
    found = []
    for child in psutil.Process().children():
        if "napari_ssan.finetune.child" in child.cmdline():
            found.append(child)
    return found


def test_train_close_the_dock_stop_and_decide(viewer, qtbot):
    dock, controller = open_dock(viewer, qtbot)
    train(controller, qtbot)
    assert len(children()) == 1
    viewer.window.remove_dock_widget(dock)
    dock, controller = open_dock(viewer, qtbot)
    stepping(controller, qtbot)
    qtbot.mouseClick(controller.view.run.stop, Qt.MouseButton.LeftButton)
    trainer = controller.trainer
    qtbot.waitUntil(lambda: trainer.state.phase == "judged", timeout=60000)
    assert children() == []
    verdict = controller.view.verdict
    assert "base model" in verdict.text.text()
    if trainer.state.better:
        verdict.name.setText("mine")
        qtbot.mouseClick(verdict.use, Qt.MouseButton.LeftButton)
    else:
        qtbot.mouseClick(verdict.keep_base, Qt.MouseButton.LeftButton)
    better = trainer.state.better
    qtbot.waitUntil(lambda: trainer.state.phase == "idle", timeout=20000)
    controller.finish()
    own = [info.name for info in list_models() if not info.bundled]
    assert own == (["mine", "tiny"] if better else ["tiny"])
    assert runs() == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_process_that_is_killed_can_be_gone_on_with(viewer, qtbot):
    _, controller = open_dock(viewer, qtbot)
    train(controller, qtbot)
    os.kill(children()[0].pid, signal.SIGKILL)
    view = controller.view
    qtbot.waitUntil(lambda: "Unfinished training: em" in view.header.message.text(), timeout=20000)
    qtbot.mouseClick(view.header.yes, Qt.MouseButton.LeftButton)
    stepping(controller, qtbot)
    qtbot.mouseClick(view.run.discard, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: controller.trainer.state.phase == "idle", timeout=20000)
    controller.finish()
    assert runs() == []


def test_closing_the_viewer_keeps_the_run(viewer, qtbot, make_napari_viewer_proxy, stack):
    _, controller = open_dock(viewer, qtbot)
    train(controller, qtbot)
    viewer.close()
    qtbot.waitUntil(lambda: controller.trainer.closed, timeout=20000)
    assert children() == []
    assert [run.title for run in runs()] == ["em"]
    other = make_napari_viewer_proxy(show=True)
    _, controller = open_dock(other, qtbot)
    view = controller.view
    qtbot.waitUntil(lambda: "Unfinished training: em" in view.header.message.text(), timeout=20000)
    qtbot.mouseClick(view.header.no, Qt.MouseButton.LeftButton)
    controller.finish()
    assert runs() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stack: np.full_like(stack, 7), "nothing to learn from"),
        (lambda stack: stack[:7], "too few"),
        (lambda stack: np.full(stack.shape, np.nan, np.float32), "not numbers (NaN)"),
        (lambda stack: stack[:, :10, :10], "at least"),
    ],
)
def test_what_cannot_be_learned_from_is_said_beforehand(viewer, qtbot, stack, change, said):
    viewer.layers.clear()
    _, controller = open_dock(viewer, qtbot)
    viewer.add_image(change(stack), name="odd", contrast_limits=(0, 255))
    text = controller.view.data.text
    qtbot.waitUntil(lambda: said in text.text(), timeout=20000)
    assert not controller.view.run.train.isEnabled()
    controller.finish()
