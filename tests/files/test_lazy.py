import numpy as np
import pytest

from napari_ssan.errors import BadInput
from napari_ssan.files.lazy import LazyArray


class Unreadable:
    dtype = np.dtype(np.uint8)

    def __init__(self, *shape):
        self.shape = shape

    def __getitem__(self, index):
        raise ValueError("bad bytes\nand more")


ALL = slice(None)


@pytest.mark.parametrize(
    ("shape", "index", "place"),
    [
        ((6, 70, 50), 5, "at slice 5"),
        ((6, 70, 50), (-1, slice(3, 4)), "at slice 5"),
        ((6, 70, 50), (slice(4, 5), ALL, ALL), "at slice 4"),
        ((1, 6, 1, 70, 50), (0, 3, 0, ALL, ALL), "at slice 3"),
        ((6, 70, 50), (slice(2, 4), 0, 0), "to the end"),
        ((6, 70, 50), (..., 3), "to the end"),
        ((2, 6, 70, 50), (0, 3), "to the end"),
        ((70, 50), (3, 4), "to the end"),
    ],
)
def test_what_cannot_be_read_is_named(shape, index, place):
    data = LazyArray(Unreadable(*shape), "a.tif")
    with pytest.raises(BadInput) as caught:
        data[index]
    assert str(caught.value) == f"a.tif cannot be read {place}; it may be damaged: bad bytes."
