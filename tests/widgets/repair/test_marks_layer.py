from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.marks_layer import (
    AT_ONCE,
    LASSO,
    NAME,
    PAUSE,
    MarksLayer,
    ellipse,
)
from napari_ssan.widgets.shared.layers import made_for


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(volume, scale=(30, 4, 4), translate=(9, 8, 7), units="nm", name="em")


@pytest.fixture
def marks(viewer, image, volume):
    marks = MarksLayer(viewer, image, SliceStack(volume))
    marks.seen = {"drawn": {}, "erased": set(), "refused": []}
    marks.drawn.connect(lambda outlines: marks.seen["drawn"].update(outlines))
    marks.erased.connect(lambda keys: marks.seen["erased"].update(keys))
    marks.refused.connect(lambda sentence: marks.seen["refused"].append(sentence))
    return marks


def test_the_layer_lies_where_the_image_does(viewer, image, marks):
    marks.draw(True)
    layer = viewer.layers[NAME]
    assert layer.mode == LASSO
    assert marks.drawing
    for name in ("scale", "translate", "units", "axis_labels"):
        assert list(getattr(layer, name)) == list(getattr(image, name))
    assert (layer.affine.affine_matrix == image.affine.affine_matrix).all()
    marks.draw(False)
    assert viewer.layers.selection.active == image
    assert not marks.drawing


def test_closed_shapes_count(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons(circle(3))
    marks.layer.add_rectangles(np.array([[4, 10, 10], [4, 10, 30], [4, 20, 30], [4, 20, 10]]))
    marks.layer.add_ellipses(np.array([[5, 10, 10], [5, 10, 30], [5, 20, 30], [5, 20, 10]]))
    assert sorted(z for z, _ in marks.seen["drawn"].values()) == [3, 4, 5]
    assert not marks.seen["refused"]


def test_open_ones_are_refused_once_and_do_not_count(marks):
    marks.draw(True)
    marks.layer.add_lines(np.array([[3, 10, 10], [3, 20, 20]]))
    marks.layer.add_paths(np.array([[3, 10, 10], [3, 20, 20], [3, 20, 10]]))
    assert not marks.seen["drawn"]
    assert len(marks.seen["refused"]) == 1
    assert "closed shape" in marks.seen["refused"][0]


def test_shapes_outside_or_across_are_refused(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons(circle(30))
    across = circle(3)
    across[:, 0] += np.arange(24) / 12
    marks.layer.add_polygons(across)
    assert not marks.seen["drawn"]
    assert len(marks.seen["refused"]) == 2


def test_z_is_rounded(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons(circle(3.4))
    ((z, _),) = marks.seen["drawn"].values()
    assert z == 3


def test_moving_is_erasing_and_drawing(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons(circle(3))
    (key,) = marks.seen["drawn"]
    data = marks.layer.data
    marks.layer.data = [data[0] + (0, 5, 5)]
    assert marks.seen["erased"] == {key}
    assert len(marks.seen["drawn"]) == 2


def test_deleted_shapes_are_erased(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons([circle(3), circle(5)])
    keys = set(marks.seen["drawn"])
    marks.layer.selected_data = {0}
    marks.layer.remove_selected()
    assert len(marks.seen["erased"]) == 1
    assert marks.seen["erased"] < keys


def test_erasing_and_showing_say_nothing(marks, circle):
    marks.draw(True)
    marks.layer.add_polygons([circle(3), circle(5)])
    keys = set(marks.seen["drawn"])
    marks.erase(keys)
    assert not marks.layer.data
    region = Region.from_outline([(10, 10), (10, 30), (30, 20)], (64, 80))
    marks.show({region.key(4): (4, region)})
    assert len(marks.layer.data) == 1
    marks.sync()
    assert set(marks.seen["drawn"]) == keys
    assert not marks.seen["erased"]


def test_regions_come_back_where_they_were(marks):
    region = Region.from_outline([(10, 10), (10, 30), (30, 20)], (64, 80))
    marks.show({region.key(4): (4, region)})
    expected = [[4, 10, 10], [4, 10, 30], [4, 30, 20]]
    assert marks.layer.data[0] == pytest.approx(np.array(expected))


def many(number):
    """As many regions, in slices 0 to 8."""
    found = {}
    for n in range(number):
        y, x = 1 + n % 40, 1 + n // 40
        region = Region.from_outline([(y, x), (y, x + 9), (y + 9, x)], (64, 80))
        found[region.key(n % 9)] = (n % 9, region)
    return found


def test_many_outlines_are_drawn_in_parts_and_none_counts_as_erased_meanwhile(marks, circle, qtbot):
    regions = many(3 * AT_ONCE)
    marks.show(regions)
    assert len(marks.layer.data) == AT_ONCE
    marks.layer.add_polygons(circle(3))
    assert len(marks.seen["drawn"]) == 1
    waiting = list(regions)[-1]
    assert marks.has(waiting)
    marks.erase([waiting, next(iter(regions))])
    marks.show(regions)
    qtbot.waitUntil(lambda: len(marks.layer.data) == 3 * AT_ONCE + 1)
    assert not marks.seen["erased"]
    assert len(marks.seen["drawn"]) == 1


def test_a_layer_that_is_deleted_meanwhile_gets_no_more(viewer, marks, qtbot):
    marks.show(many(2 * AT_ONCE))
    layer = marks.layer
    viewer.layers.remove(layer)
    marks.forget_layer()
    qtbot.wait(50)
    assert len(layer.data) == AT_ONCE
    marks.show(many(2))
    assert len(marks.layer.data) == 2


def test_nothing_is_drawn_into_a_shape_that_the_user_draws(marks, qtbot):
    marks.draw(True)
    marks.show(many(AT_ONCE + 1))
    marks.layer.add(
        np.array([[3, 10, 10], [3, 12, 10], [3, 12, 12]]), shape_type="polygon", gui=True
    )
    qtbot.wait(2 * PAUSE)
    assert len(marks.layer.data) == AT_ONCE + 1
    marks.draw(False)
    qtbot.waitUntil(lambda: len(marks.layer.data) == AT_ONCE + 2)


def test_a_layer_of_that_name_is_taken_up(viewer, image, marks, circle):
    theirs = viewer.add_shapes([circle(3)], shape_type="polygon", ndim=3, name=NAME)
    marks.draw(True)
    assert marks.layer == theirs
    ((z, outline),) = marks.seen["drawn"].values()
    # Theirs has no scale: where its shapes lie in the world counts.
    assert z == 0
    assert np.mean(outline, axis=0) == pytest.approx([(30 - 8) / 4, (40 - 7) / 4])


def test_a_layer_that_was_made_for_something_else_is_left_alone(viewer, image, marks, circle):
    other = viewer.add_shapes(
        [circle(3)], shape_type="polygon", ndim=3, metadata=made_for(image, "Suggestion")
    )
    marks.draw(True)
    assert marks.layer != other
    assert not marks.seen["drawn"]


def test_another_stack_gets_a_layer_of_its_own(viewer, image, marks, volume):
    other = viewer.add_image(volume, name="other")
    marks.draw(True)
    second = MarksLayer(viewer, other, SliceStack(volume))
    second.draw(True)
    assert second.layer != marks.layer


def test_a_deleted_layer_is_let_go(viewer, image, marks, circle):
    marks.draw(True)
    marks.layer.add_polygons(circle(3))
    viewer.layers.remove(marks.layer)
    marks.forget_layer()
    assert not marks.drawing
    assert not marks.seen["erased"]
    marks.draw(True)
    assert marks.layer in viewer.layers


def test_mouse_strokes_draw(viewer, image, marks):
    """With napari's own mouse handling, as the canvas calls it."""
    from napari.utils._proxies import ReadOnlyWrapper
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    marks.draw(True)
    layer = marks.layer

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
    assert not marks.seen["drawn"]
    mouse_release_callbacks(layer, Event("mouse_release", *path[-1]))
    ((z, outline),) = marks.seen["drawn"].values()
    assert z == 3
    assert np.mean(outline, axis=0) == pytest.approx([30, 40], abs=2)


def test_an_ellipse_fills_its_box():
    points = ellipse(np.array([[5, 10, 10], [5, 10, 30], [5, 20, 30], [5, 20, 10.0]]))
    assert points.min(axis=0) == pytest.approx([5, 10, 10], abs=0.05)
    assert points.max(axis=0) == pytest.approx([5, 20, 30], abs=0.05)
