from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssan.session.marks import region_key
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.marks_layer import LASSO, NAME, MarksLayer, ellipse


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(volume, scale=(30, 4, 4), translate=(9, 8, 7), units="nm", name="em")


@pytest.fixture
def defects(viewer, image, volume):
    defects = MarksLayer(viewer, image, SliceStack(volume))
    defects.seen = {"drawn": {}, "erased": set(), "refused": []}
    defects.drawn.connect(lambda outlines: defects.seen["drawn"].update(outlines))
    defects.erased.connect(lambda keys: defects.seen["erased"].update(keys))
    defects.refused.connect(lambda sentence: defects.seen["refused"].append(sentence))
    return defects


def test_the_layer_lies_where_the_image_does(viewer, image, defects):
    defects.draw(True)
    layer = viewer.layers[NAME]
    assert layer.mode == LASSO
    assert defects.drawing
    for name in ("scale", "translate", "units", "axis_labels"):
        assert list(getattr(layer, name)) == list(getattr(image, name))
    assert (layer.affine.affine_matrix == image.affine.affine_matrix).all()
    defects.draw(False)
    assert viewer.layers.selection.active == image
    assert not defects.drawing


def test_closed_shapes_count(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons(circle(3))
    defects.layer.add_rectangles(np.array([[4, 10, 10], [4, 10, 30], [4, 20, 30], [4, 20, 10]]))
    defects.layer.add_ellipses(np.array([[5, 10, 10], [5, 10, 30], [5, 20, 30], [5, 20, 10]]))
    assert sorted(z for z, _ in defects.seen["drawn"].values()) == [3, 4, 5]
    assert not defects.seen["refused"]


def test_open_ones_are_refused_once_and_do_not_count(defects):
    defects.draw(True)
    defects.layer.add_lines(np.array([[3, 10, 10], [3, 20, 20]]))
    defects.layer.add_paths(np.array([[3, 10, 10], [3, 20, 20], [3, 20, 10]]))
    assert not defects.seen["drawn"]
    assert len(defects.seen["refused"]) == 1
    assert "closed shape" in defects.seen["refused"][0]


def test_shapes_outside_or_across_are_refused(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons(circle(30))
    across = circle(3)
    across[:, 0] += np.arange(24) / 12
    defects.layer.add_polygons(across)
    assert not defects.seen["drawn"]
    assert len(defects.seen["refused"]) == 2


def test_z_is_rounded(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons(circle(3.4))
    ((z, _),) = defects.seen["drawn"].values()
    assert z == 3


def test_moving_is_erasing_and_drawing(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons(circle(3))
    (key,) = defects.seen["drawn"]
    data = defects.layer.data
    defects.layer.data = [data[0] + (0, 5, 5)]
    assert defects.seen["erased"] == {key}
    assert len(defects.seen["drawn"]) == 2


def test_deleted_shapes_are_erased(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons([circle(3), circle(5)])
    keys = set(defects.seen["drawn"])
    defects.layer.selected_data = {0}
    defects.layer.remove_selected()
    assert len(defects.seen["erased"]) == 1
    assert defects.seen["erased"] < keys


def test_erasing_and_showing_say_nothing(defects, circle):
    defects.draw(True)
    defects.layer.add_polygons([circle(3), circle(5)])
    keys = set(defects.seen["drawn"])
    defects.erase(keys)
    assert not defects.layer.data
    region = Region.from_outline([(10, 10), (10, 30), (30, 20)], (64, 80))
    defects.show({region_key(4, region): (4, region)})
    assert len(defects.layer.data) == 1
    defects.sync()
    assert set(defects.seen["drawn"]) == keys
    assert not defects.seen["erased"]


def test_regions_come_back_where_they_were(defects):
    region = Region.from_outline([(10, 10), (10, 30), (30, 20)], (64, 80))
    defects.show({region_key(4, region): (4, region)})
    expected = [[4, 10, 10], [4, 10, 30], [4, 30, 20]]
    assert defects.layer.data[0] == pytest.approx(np.array(expected))


def test_a_layer_of_that_name_is_taken_up(viewer, image, defects, circle):
    theirs = viewer.add_shapes([circle(3)], shape_type="polygon", ndim=3, name=NAME)
    defects.draw(True)
    assert defects.layer == theirs
    ((z, outline),) = defects.seen["drawn"].values()
    # Theirs has no scale: where its shapes lie in the world counts.
    assert z == 0
    assert np.mean(outline, axis=0) == pytest.approx([(30 - 8) / 4, (40 - 7) / 4])


def test_another_stack_gets_a_layer_of_its_own(viewer, image, defects, volume):
    other = viewer.add_image(volume, name="other")
    defects.draw(True)
    second = MarksLayer(viewer, other, SliceStack(volume))
    second.draw(True)
    assert second.layer != defects.layer


def test_a_deleted_layer_is_let_go(viewer, image, defects, circle):
    defects.draw(True)
    defects.layer.add_polygons(circle(3))
    viewer.layers.remove(defects.layer)
    defects.forget_layer()
    assert not defects.drawing
    assert not defects.seen["erased"]
    defects.draw(True)
    assert defects.layer in viewer.layers


def test_mouse_strokes_draw(viewer, image, defects):
    """With napari's own mouse handling, as the canvas calls it."""
    from napari.utils._proxies import ReadOnlyWrapper
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    defects.draw(True)
    layer = defects.layer

    class Event:
        def __init__(self, kind, y, x):
            self.type = kind
            self.position = (9 + 3 * 30, 8 + 4 * y, 7 + 4 * x)
            self.pos = 10 * np.array([y, x])
            self.dims_displayed, self.dims_point = [1, 2], list(self.position)
            self.view_direction = None
            self.is_dragging = kind == "mouse_move"
            self.modifiers, self.button, self.handled = [], 1, False

    angle = np.linspace(0, 2 * np.pi, 30)
    path = [(30 + 10 * np.sin(a), 40 + 10 * np.cos(a)) for a in angle]
    mouse_press_callbacks(layer, ReadOnlyWrapper(Event("mouse_press", *path[0])))
    for point in path[1:]:
        mouse_move_callbacks(layer, Event("mouse_move", *point))
    assert not defects.seen["drawn"]
    mouse_release_callbacks(layer, Event("mouse_release", *path[-1]))
    ((z, outline),) = defects.seen["drawn"].values()
    assert z == 3
    assert np.mean(outline, axis=0) == pytest.approx([30, 40], abs=2)


def test_an_ellipse_fills_its_box():
    points = ellipse(np.array([[5, 10, 10], [5, 10, 30], [5, 20, 30], [5, 20, 10.0]]))
    assert points.min(axis=0) == pytest.approx([5, 10, 10], abs=0.05)
    assert points.max(axis=0) == pytest.approx([5, 20, 30], abs=0.05)
