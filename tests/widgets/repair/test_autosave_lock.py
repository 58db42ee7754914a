"""A layer that is deleted while its state is read or written leaves its sidecar to others.

Covers: napari_ssan.widgets.repair.autosave
"""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._source import layer_source

from napari_ssan.session.journal import read
from napari_ssan.session.saved import Saved
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.autosave import Autosave
from napari_ssan.workers import TaskQueue


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def open_file(viewer: ViewerModel, volume: np.ndarray, path) -> Image:
    tifffile.imwrite(path, volume)
    with layer_source(path=str(path)):
        image = Image(volume, name="em")
    viewer.add_layer(image)
    return image


def is_free(volume: np.ndarray, path) -> bool:
    sidecar = Sidecar.of(SliceStack(volume), path)
    free = sidecar.acquire()
    if free:
        sidecar.release()
    return free


@pytest.mark.parametrize("opened", [True, False])
def test_it_is_left_to_others(viewer, volume, make_controller, tmp_path, opened):
    path = tmp_path / "stack.tif"
    controller = make_controller(viewer)
    image = open_file(viewer, volume, path)
    if opened:
        controller.finish()
        controller.current.session.mark([2])  # is being written when the layer goes
    viewer.layers.remove(image)
    del image
    gc.collect()
    controller.finish()
    gc.collect()
    controller.finish()
    assert is_free(volume, path)
    open_file(viewer, volume, path)
    controller.finish()
    assert controller.current._autosave.sidecar is not None
    assert (controller.current.offer is not None) == opened


def test_what_waits_when_the_program_ends_is_written(qapp, volume, tmp_path):
    gate, queue = threading.Event(), TaskQueue()
    autosave = Autosave(queue)
    autosave.sidecar, autosave.held = Sidecar(tmp_path / "side"), False
    queue.submit(lambda report, cancel: gate.wait(10))
    autosave.save(Saved(Marks({2}), {(2, 0): "marked"}))
    autosave.close()
    gate.set()
    queue.close()  # drops what waits, as when the application quits
    queue.finish()
    assert read(tmp_path / "side", SliceStack(volume)).marks.whole == {2}
    assert autosave.sidecar is None
