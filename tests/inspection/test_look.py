from __future__ import annotations

import numpy as np
import pytest

from napari_ssan.inspection.look import look


@pytest.mark.parametrize("kind", ["constant", "no values", "most"])
def test_a_section_without_an_image_has_a_flaw(volume, kind):
    pixels = volume[0].astype(np.float32)
    if kind == "constant":
        pixels[:] = 9
    elif kind == "no values":
        pixels[4:] = np.nan
    else:
        pixels[:, : int(0.9 * pixels.shape[1])] = 255
    assert kind in look(0, pixels).flaw
    assert look(0, volume[0].astype(np.float32)).flaw == ""


def test_level_and_contrast_do_not_change_the_picture(volume):
    pixels = volume[0].astype(np.float32)
    one, other = look(0, pixels), look(0, 3 * pixels - 50)
    np.testing.assert_allclose(one.smooth, other.smooth, atol=1e-4)
    np.testing.assert_allclose(one.sharpness, other.sharpness, atol=1e-4)
    assert other.level == pytest.approx(3 * one.level - 50)
    assert other.contrast == pytest.approx(3 * one.contrast)
