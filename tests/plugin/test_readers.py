"""What the reader opens, what it leaves to napari's own, and what it reads to find out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog
from napari.components import ViewerModel
from napari.plugins._npe2 import get_readers
from npe2 import PluginManifest

from napari_ssan.errors import BadInput
from napari_ssan.plugin.readers import get_reader, pass_on
from napari_ssan.stack.lazy import LazyPixels

FOREIGN: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "2-D": ((20, 30), {"photometric": "minisblack"}),
    "RGB": ((20, 30, 3), {"photometric": "rgb"}),
    "channels": ((3, 20, 30), {"imagej": True, "metadata": {"axes": "CYX"}}),
    "4-D": ((2, 5, 20, 30), {"imagej": True, "metadata": {"axes": "TZYX"}}),
}


@pytest.fixture(autouse=True)
def plugins(npe2pm) -> None:
    """napari's own plugin and ours, as they are after napari has started."""
    for name in ("napari", "napari-ssan"):
        npe2pm.register(PluginManifest.from_distribution(name))


@pytest.fixture(params=FOREIGN)
def foreign(request, tmp_path) -> tuple[str, np.ndarray]:
    """A TIFF that is no grey z-stack, and its pixels."""
    shape, options = FOREIGN[request.param]
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    path = tmp_path / "foreign.tif"
    tifffile.imwrite(path, pixels, **options)
    return str(path), pixels


def test_what_is_no_stack_is_left_to_other_readers(foreign, monkeypatch):
    path, _ = foreign
    monkeypatch.setattr(LazyPixels, "__getitem__", lambda *_: pytest.fail("pixels were read"))
    assert get_reader(path) is None


def test_what_is_no_stack_opens_also_if_our_reader_was_chosen(foreign):
    """As with "remember this choice": napari then asks no other plugin."""
    path, pixels = foreign
    (layer,) = ViewerModel().open(path, plugin="napari-ssan")
    np.testing.assert_array_equal(np.asarray(layer.data), pixels)


def test_a_folder_that_is_no_stack_opens_also_if_our_reader_was_chosen(tmp_path):
    for n in range(3):
        tifffile.imwrite(tmp_path / f"{n}.tif", np.full((20, 30), n, np.uint8))
    (layer,) = ViewerModel().open(str(tmp_path), plugin="napari-ssan")
    assert layer.data.shape == (3, 20, 30)


def test_a_stack_is_opened_once_and_by_us(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
    assert get_reader(str(path)) is not None
    assert pass_on(str(path)) is None
    (layer,) = ViewerModel().open(str(path), plugin="napari-ssan")
    assert layer.metadata["napari_ssan"]["path"] == str(path)


def test_a_damaged_file_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-500])
    assert get_reader(str(path)) is None
    with pytest.raises(BadInput, match="truncated"):
        pass_on(str(path))(str(path))


def test_the_question_which_reader_to_use_comes_with_that_of_napari(qtbot, foreign):
    """napari checks the first of the readers, sorted by the names that they display."""
    path, _ = foreign
    dialog = QtReaderDialog(pth=path, readers=get_readers(path))
    qtbot.addWidget(dialog)
    offered = [button.text() for button in dialog.reader_btn_group.buttons()]
    assert offered == ["napari builtins", "napari-ssan"]
    assert dialog.reader_btn_group.checkedButton().text() == "napari builtins"
