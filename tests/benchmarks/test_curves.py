from __future__ import annotations

import pytest
from curves import main, read
from PIL import Image

from napari_ssan.errors import BadInput
from napari_ssan.network.model_file import save_model
from napari_ssan.network.ssan import SSAN

TABLE = """step,gamma/0,gamma/1,gamma/2,loss/pixel,loss/style_0,loss/style_1,loss/style_2,other
10,0.1,0.2,0.3,1,0.5,2.5,-0.5,
20,0.4,0.5,0.6,1,0.25,1.5,-0.25,
20,,,,,,,,17.5
"""


def test_curves_of_a_table(tmp_path):
    path = tmp_path / "run.training.csv"
    path.write_text(TABLE)
    curves = read(path)
    assert [(c.steps, c.values) for c in curves["gamma"]] == [
        ([10, 20], [0.1, 0.4]), ([10, 20], [0.2, 0.5]), ([10, 20], [0.3, 0.6]),
    ]  # fmt: skip
    assert [c.values for c in curves["style"]] == [[0.5, 0.25], [2.5, 1.5], [-0.5, -0.25]]


def test_curves_of_a_card(tmp_path, tiny):
    curve = [
        {"step": step, "gammas": [0.1 * step, 0.2], "style_0": 1.0, "style_1": step, "style_2": 0}
        for step in (5, 9)
    ]
    path = tmp_path / "model.safetensors"
    save_model(path, SSAN(tiny), {"tile": 32, "curve": curve})
    curves = read(path)
    assert [c.values for c in curves["gamma"]] == [[0.5, 0.9], [0.2, 0.2]]
    assert curves["style"][1] == ([5, 9], [5, 9])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_figure_is_drawn(tmp_path, suffix):
    path, figure = tmp_path / "run.training.csv", tmp_path / f"figure{suffix}"
    path.write_text(TABLE)
    main([str(path), str(figure)])
    if suffix == ".png":
        width, height = Image.open(figure).size
        assert width > 2 * height  # two panels
    else:
        assert figure.read_text().count('id="axes_') == 2


def test_a_run_without_style_has_one_panel(tmp_path):
    path, figure = tmp_path / "run.training.csv", tmp_path / "figure.png"
    path.write_text("step,gamma/0\n1,0.5\n")
    main([str(path), str(figure)])
    width, height = Image.open(figure).size
    assert width < 2 * height


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "step,loss/pixel\n1,2\n", "step,gamma/0\nx,1\n"]
)
def test_what_is_no_run_is_refused(tmp_path, text):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"other\.csv"):
        read(path)


def test_bad_input_ends_in_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.csv"), str(tmp_path / "figure.png")])
    assert "none.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["run.csv", "figure.txt"])
    assert ".svg" in capsys.readouterr().err
