"""What part of a stack is learned from: drawn regions, and marks that were saved."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.fine_tune.region import region_layers, saved_marks, window_finder
from napari_ssan.widgets.shared.layers import made_for
from napari_ssan.widgets.shared.sessions import OpenSessions


@pytest.fixture
def never():
    return threading.Event()


def find(region, image, volume, flag):
    return window_finder(region, image, SliceStack(volume))(flag)


def test_without_a_region_it_is_all(image, volume, never):
    assert find(None, image, volume, never) is None


def test_shapes_in_other_units(viewer, image, volume, never):
    """The image has voxels of 4 nm; the shape is drawn in a layer of micrometres."""
    box = np.array([[2, 0.04, 0.08], [2, 0.04, 0.2], [2, 0.16, 0.2], [2, 0.16, 0.08]])
    shapes = viewer.add_shapes([box], scale=(1, 1, 1), units="um")
    assert find(shapes, image, volume, never) == (slice(10, 40), slice(20, 50))


def test_shapes_of_two_dimensions_count_in_all_slices(viewer, image, volume, never):
    box = np.array([[10, 20], [10, 50], [40, 50], [40, 20]])
    shapes = viewer.add_shapes([box], scale=(4, 4), units="nm")
    assert find(shapes, image, volume, never) == (slice(10, 40), slice(20, 50))


def test_what_reaches_beyond_is_cut(viewer, image, volume, never):
    box = np.array([[0, -30, -30], [0, -30, 900], [0, 30, 900], [0, 30, -30]])
    shapes = viewer.add_shapes([box], scale=(30, 4, 4), units="nm")
    assert find(shapes, image, volume, never) == (slice(0, 30), slice(0, 80))


def test_labels_are_read_slice_by_slice(viewer, image, volume, never):
    labels = np.zeros(volume.shape, np.uint8)
    labels[3, 12:20, 30:41] = 1
    labels[7, 18:25, 35:44] = 2
    layer = viewer.add_labels(labels, scale=(30, 4, 4), units="nm")
    assert find(layer, image, volume, never) == (slice(12, 25), slice(30, 44))
    never.set()
    with pytest.raises(Cancelled):
        find(layer, image, volume, never)


@pytest.mark.parametrize("kind", ["labels", "shapes", "outside"])
def test_a_region_without_a_pixel_is_refused(viewer, image, volume, never, kind):
    if kind == "labels":
        layer = viewer.add_labels(np.zeros(volume.shape, np.uint8), name="mine")
    elif kind == "shapes":
        layer = viewer.add_shapes(ndim=3, name="mine")
    else:
        box = np.array([[0, -30, -30], [0, -30, -20], [0, -20, -20], [0, -20, -30]])
        layer = viewer.add_shapes([box], name="mine")
    with pytest.raises(BadInput, match="mine"):
        find(layer, image, volume, never)


def test_the_marks_of_the_repair_dock_are_no_region(viewer, image):
    mine = viewer.add_shapes(ndim=3)
    viewer.add_shapes(ndim=3, metadata=made_for(image))
    viewer.add_points(ndim=3)
    assert region_layers(viewer) == [mine]


def test_saved_marks(volume):
    stack = SliceStack(volume)
    assert not saved_marks(stack, None)
    sidecar = Sidecar.of(stack, None)
    session = RepairSession(stack)
    session.mark([2, 7])
    sidecar.save(session.saved())
    assert saved_marks(stack, None).whole == {2, 7}


def test_marks_that_cannot_be_read_are_not_passed_over(volume):
    stack = SliceStack(volume)
    folder = Sidecar.of(stack, None).folder
    folder.mkdir(parents=True)
    (folder / "marks.json").write_text('{"format": 1}')
    with pytest.raises(BadInput, match="Repair slice"):
        saved_marks(stack, None)
    assert (folder / "marks.json").exists()
    (folder / "marks.json").unlink()
    (folder / "marks.json").mkdir()
    with pytest.raises(BadInput, match="try again"):
        saved_marks(stack, None)


def test_open_sessions_are_known_by_their_layer(viewer, image, volume):
    sessions, heard = OpenSessions(), []
    sessions.changed.connect(heard.append)
    assert sessions.of(image) is None
    session = RepairSession(SliceStack(volume))
    sessions.add(image, session)
    session.mark([3])
    assert heard == [image.unique_id] * 2
    found = sessions.of(image)
    assert found is session
    del session, found
    assert sessions.of(image) is None
