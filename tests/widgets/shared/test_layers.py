from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils._proxies import PublicOnlyProxy

from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.shared import layers as module
from napari_ssan.widgets.shared.layers import (
    go_to,
    placement,
    section_on_screen,
    source_path,
    stack_of,
    to_data_of,
    unwrap,
    view_objection,
    voxel_text,
)


@pytest.fixture(params=["model", "proxy"])
def viewer(request):
    viewer = ViewerModel()
    return PublicOnlyProxy(viewer) if request.param == "proxy" else viewer


@pytest.fixture
def image(viewer, volume):
    return viewer.add_image(
        volume,
        scale=(30, 4, 4),
        translate=(90, 8, 0),
        units="nm",
        axis_labels=("z", "y", "x"),
        name="em",
    )


def test_a_stack_is_found(image, volume):
    stack = stack_of(image)
    assert stack.shape == volume.shape
    assert type(stack.data) is np.ndarray


def test_the_axis_called_z_is_that_of_the_sections(viewer, volume):
    image = viewer.add_image(volume, axis_labels=("y", "x", "z"))
    assert stack_of(image).shape == (80, 10, 64)


def test_a_pyramid_is_read_at_full_resolution(viewer, volume):
    image = viewer.add_image([volume, volume[:, ::2, ::2]], multiscale=True)
    assert stack_of(image).shape == volume.shape


def test_our_own_arrays_are_not_left_wrapped(viewer, volume):
    repaired = RepairedStack(SliceStack(volume))
    image = viewer.add_image(repaired, multiscale=False, contrast_limits=(0, 255))
    assert unwrap(image.data) is repaired


@pytest.mark.parametrize(
    ("data", "rgb", "said"),
    [
        (np.zeros((8, 8), np.uint8), False, "2-D image"),
        (np.zeros((5, 8, 8, 3), np.uint8), True, "RGB"),
        (np.zeros((5, 8, 8), bool), False, "bool"),
        (np.zeros((5, 8, 8), np.int64), False, "int64"),
        (np.zeros((2, 5, 8, 8), np.uint8), False, "one channel"),
    ],
)
def test_what_is_no_stack_is_refused(viewer, data, rgb, said):
    with pytest.raises(BadInput, match=said):
        stack_of(viewer.add_image(data, rgb=rgb))


def test_the_section_is_the_layers_not_the_sliders(viewer, image, volume):
    viewer.add_image(np.zeros((40, 64, 80), np.uint8), scale=(15, 4, 4), units="nm")
    go_to(viewer, image, 0, 7)
    assert section_on_screen(viewer, image, 0, 10) == 7
    assert viewer.dims.point[0] == pytest.approx(90 + 7 * 30)
    assert viewer.dims.current_step[0] == 20
    viewer.dims.set_point(0, 0)
    assert section_on_screen(viewer, image, 0, 10) is None
    assert "outside this stack" in view_objection(viewer, image, stack_of(image))


def test_other_units_in_the_viewer_are_converted(viewer, image):
    viewer.add_image(np.zeros((10, 64, 80), np.uint8), scale=(0.03, 0.004, 0.004), units="um")
    for z in (0, 4, 9):
        go_to(viewer, image, 0, z)
        assert section_on_screen(viewer, image, 0, 10) == z


def test_extra_axes_before(viewer, volume):
    image = viewer.add_image(volume[None], scale=(1, 30, 4, 4))
    viewer.add_image(np.zeros((2, 3, 10, 64, 80), np.uint8), scale=(1, 1, 30, 4, 4))
    stack = stack_of(image)
    go_to(viewer, image, stack.z_axis, 6)
    assert section_on_screen(viewer, image, stack.z_axis, 10) == 6
    assert view_objection(viewer, image, stack) == ""


def test_views_without_slices_are_refused(viewer, image):
    stack = stack_of(image)
    assert view_objection(viewer, image, stack) == ""
    viewer.dims.ndisplay = 3
    assert "3-D view" in view_objection(viewer, image, stack)
    viewer.dims.ndisplay = 2
    viewer.dims.roll()
    assert "roll the dimensions" in view_objection(viewer, image, stack)
    viewer.dims.order = (0, 2, 1)
    assert view_objection(viewer, image, stack) == ""


def test_a_tilted_layer_is_refused(viewer, volume):
    turned = np.eye(4)
    turned[:3, :3] = [[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]]
    image = viewer.add_image(volume, affine=turned)
    assert "turned" in view_objection(viewer, image, stack_of(image))


def test_points_are_mapped_between_layers(viewer, image):
    shapes = viewer.add_shapes(ndim=3, scale=(15, 2, 2), translate=(0, 8, 0), units="nm")
    points = np.array([[8.0, 10.0, 20.0], [6.0, 0.0, 4.0]])
    assert to_data_of(image, shapes, points) == pytest.approx(
        np.array([[1.0, 5.0, 10.0], [0.0, 0.0, 2.0]])
    )
    same = viewer.add_shapes(ndim=3, **placement(image))
    assert to_data_of(image, same, points) == pytest.approx(points)


def test_words(viewer, image, volume, tmp_path):
    assert voxel_text(image) == "30 × 4 × 4 nm"
    assert source_path(image) is None
    known = viewer.add_image(volume, metadata={module.METADATA: {"path": str(tmp_path)}})
    assert source_path(known) == tmp_path
