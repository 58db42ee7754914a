from __future__ import annotations

import numpy as np
import pytest
import tifffile
from panels import GAP, HEAD, main, place, window
from PIL import Image
from systems.registry import build
from systems.store import save_system

SIZE, ZOOM = 40, 2


@pytest.fixture(scope="module")
def system(tmp_path_factory, tiny):
    path = tmp_path_factory.mktemp("kept") / "SepConv-L_1.safetensors"
    card = {"system": "SepConv", "config": tiny.model_dump(mode="json"), "taps": 5}
    save_system(path, build("SepConv", tiny, 5), card | {"tile": 32, "match": "mean"})
    return path


def draw(stack, folder, *more):
    figure = folder / "figure.png"
    options = ["--size", str(SIZE), "--zoom", str(ZOOM), *more]
    main([str(stack), str(figure), *options])
    return np.asarray(Image.open(figure))


def picture(sheet, row, column):
    side = SIZE * ZOOM
    top, left = HEAD + row * (side + GAP), column * (side + GAP)
    return sheet[top : top + side, left : left + side]


def test_places_stand_in_rows_and_methods_in_columns(phantom_stack, tmp_path, tiny_model, system):
    methods = ["copy", str(system), tiny_model]
    sheet = draw(phantom_stack, tmp_path, "--at", "4:30:50", "9", "--methods", *methods)
    side = SIZE * ZOOM
    assert sheet.shape == (HEAD + 2 * side + GAP, 4 * side + 3 * GAP)
    assert (sheet[:HEAD] < 128).any()  # names
    real = tifffile.imread(phantom_stack)[4, 10:50, 30:70].astype(float)
    shown = picture(sheet, 0, 0)[::ZOOM, ::ZOOM].astype(float)
    assert np.corrcoef(real.ravel(), shown.ravel())[0, 1] > 0.99
    # The last column's network has random weights: it may be white at both places.
    pictures = [picture(sheet, row, column) for row in (0, 1) for column in range(3)]
    for number, one in enumerate(pictures):
        assert all(not np.array_equal(one, other) for other in pictures[:number])


def test_membranes_stand_below(phantom_stack, tmp_path, monkeypatch):
    class Dark:
        def find(self, z, section):
            return section < 100

    monkeypatch.setattr("panels.membranes", lambda *arguments: Dark())
    sheet = draw(phantom_stack, tmp_path, "--at", "4", "--methods", "average", "--membranes")
    found = picture(sheet, 1, 0)[::ZOOM, ::ZOOM]
    real = tifffile.imread(phantom_stack)[4, 28:68, 28:68]
    assert np.array_equal(found == 0, real < 100)


def test_a_place_at_the_border_is_moved_inside():
    assert window((96, 96), (0, 95), 40) == (slice(0, 40), slice(56, 96))
    assert window((96, 30), (None, None), 40) == (slice(28, 68), slice(0, 30))
    assert place("7:1:2") == (7, 1, 2)
    assert place("7") == (7, None, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "17"], "no neighbour"),
        (["--at", "x"], "no place"),
        (["--at", "4", "--zoom", "0"], "at least 1"),
        (["--at", "4", "--methods", "nobody"], "no model"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(phantom_stack, tmp_path, capsys, options, said):
    with pytest.raises(SystemExit):
        main([str(phantom_stack), str(tmp_path / "figure.png"), *options])
    assert said in capsys.readouterr().err
