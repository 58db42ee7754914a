"""The summary in words, and the HTML report.

Covers: napari_ssan.evaluation.measures, napari_ssan.evaluation.report_html,
    napari_ssan.evaluation.result, napari_ssan.evaluation.summary
"""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_ssan.evaluation.evaluate import Evaluation
from napari_ssan.evaluation.report_html import paint, shown, to_html
from napari_ssan.evaluation.result import to_result
from napari_ssan.evaluation.summary import summarize, words

NAME = "<blink>&stack.tif"


def figures(z: int, psnr: float, hf: float, dice: float | None = None) -> dict[str, Any]:
    return {
        "section": z,
        "psnr": psnr,
        "ssim": 0.5,
        "ie": 20.0,
        "psnr_lowpass": psnr + 3,
        "ssim_lowpass": 0.7,
        "hf_ratio": hf,
        "bands": [1.0, None, 0.5, 0.25],
        "mean_distance": 1.0,
        "std_distance": 2.0,
        "gram": None,
        "dice": dice,
        "f1": dice,
        "seconds": 0.1,
    }


def make(
    gains: list[float], hf: float = 0.9, dice: tuple[float, float] | None = None
) -> tuple[Evaluation, dict[str, Any]]:
    """Sections on which the network gains so much over the average, in dB."""
    ours, theirs = dice or (None, None)
    sections = range(3, 3 + len(gains))
    rows = {
        "average": [figures(z, 14, 0.7, theirs) for z in sections],
        "ssan": [figures(z, 14 + gain, hf, ours) for z, gain in zip(sections, gains, strict=True)],
    }
    random = np.random.default_rng(0)
    crops = {
        z: {
            name: random.integers(0, 255, (40, 50)).astype(np.uint8)
            for name in ("before", "real", "after", *rows)
        }
        for z in sections
    }
    real = [{"dice": 0.76, "f1": 0.8}] * len(gains)
    found = Evaluation(tuple((z,) for z in sections), rows, real, crops)
    settings = {
        "stack": NAME,
        "shape": [9, 40, 50],
        "gap": 1,
        "models": {"ssan": {"name": "ssan-fidelity", "sha256": "ab12"}},
        "labels": "labels.tif" if dice else None,
        "left_out": {},
    }
    return found, to_result(found, settings, 0)


class Page(HTMLParser):
    """Tags that are open, texts, addresses."""

    VOID = frozenset(("meta", "img", "br"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))


def test_better_is_said_with_figures():
    _, result = make([0.8] * 18 + [-0.1] * 2)
    first = summarize(result)[0]
    assert first.startswith(
        "On this stack the network comes closer to the real slice than averaging in 18 of 20 "
        "slices (PSNR +0.71 dB, 95 % interval +0."
    )


def test_worse_is_said_too():
    said = " ".join(summarize(make([-0.4] * 20, hf=0.5)[1]))
    assert "than averaging in 0 of 20 slices (PSNR -0.40 dB" in said
    assert "try another model" in said
    natural = " ".join(summarize(make([-0.4] * 20, hf=0.9)[1]))
    assert "Natural texture costs PSNR" in natural
    assert "try another model" not in natural
    assert "favour smooth pictures" in " ".join(summarize(make([0.4] * 20, hf=0.5)[1]))


def test_what_cannot_be_told_is_not_told():
    said = " ".join(summarize(make([0.4, -0.4, 0.3, -0.3, 0.05])[1]))
    assert "do not show which of the two is better" in said
    assert "a hint" not in said
    assert "Only 2 slices were judged" in " ".join(summarize(make([0.4, 0.5])[1]))
    assert "Only one slice was judged" in " ".join(summarize(make([0.4])[1]))


def test_the_best_baseline_is_compared_too_but_no_other_model():
    found, _ = make([0.5] * 5)
    for name, psnr in (("tvl1", 14.2), ("copy", 12.0), ("ssan:mine", 20.0)):
        found.rows[name] = [figures(z, psnr, 0.7) for z in found.sections]
    said = summarize(to_result(found, {"labels": None, "left_out": {}}, 0))
    assert "than averaging in 5 of 5" in said[0]
    assert said[1].startswith(
        "It comes closer than optical flow (TV-L1), the best other method, in 5 of 5 slices "
        "(PSNR +0.30 dB"
    )
    assert "mine" not in " ".join(said)


@pytest.mark.parametrize(
    ("hf", "said"),
    [(0.2, "smoother than that of real"), (1.0, "like that of real"), (1.5, "rougher")],
)
def test_texture_is_judged_in_words(hf, said):
    assert any(
        said in sentence and f"{hf:.2f}" in sentence for sentence in summarize(make([1] * 5, hf)[1])
    )


def test_membranes_are_judged_in_words():
    said = " ".join(summarize(make([1] * 5, dice=(0.55, 0.43))[1]))
    assert "Dice of 0.550" in said
    assert "averaging: 0.430; in the real slices: 0.760" in said
    assert "not the best" not in said
    assert "not the best" in " ".join(summarize(make([1] * 5, dice=(0.4, 0.43))[1]))


def test_what_was_left_out_is_said():
    _, result = make([1] * 5)
    result["settings"]["left_out"] = {"0": "has no slice on both sides"}
    assert summarize(result)[-1] == "Left out: slice 0 (has no slice on both sides)."


def test_models_go_by_their_names():
    assert words("ssan") == "the network"
    assert words("ssan:mine") == "the model mine"


def test_the_report_stands_alone():
    found, result = make([0.5, 0.9, 0.1, 0.7], dice=(0.5, 0.4))
    text = to_html(result, found.crops)
    page = Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert len(page.pictures) == 3 * (3 + 2 * 2)
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.pictures)
    assert not re.search(r"https?://|url\(|@import", text)


def test_names_are_escaped():
    found, result = make([0.5] * 3)
    result["settings"]["labels"] = '"><img src=x onerror=alert(1)>'
    page = Page(to_html(result, found.crops))
    assert "blink" not in page.tags
    assert any(NAME in text for text in page.texts)
    assert all(picture["src"].startswith("data:") for picture in page.pictures)


def test_pictures_are_shown_a_pixel_to_a_pixel():
    found, result = make([0.5])
    pictures = Page(to_html(result, found.crops)).pictures
    real = next(each for each in pictures if "the real slice" in each["alt"])
    image = Image.open(io.BytesIO(base64.b64decode(real["src"].partition(",")[2])))
    assert image.size == (50, 40) == (int(real["width"]), int(real["height"]))
    shown_pixels, pixels = np.asarray(image, float), found.crops[3]["real"].astype(float)
    assert np.corrcoef(shown_pixels.ravel(), pixels.ravel())[0, 1] > 0.99


def test_the_worst_the_usual_and_the_best_slice_are_shown():
    assert shown(make([0.5, 0.9, 0.1, 0.7, 0.6])[1]) == [5, 7, 4]
    assert shown(make([0.5, 0.9])[1]) == [3, 4]


def test_figures_are_in_the_tables_and_the_best_are_marked():
    found, result = make([0.5] * 4)
    text = to_html(result, found.crops)
    assert re.search(r'<td class="best">14\.50<', text)
    assert re.search(r"<td>14\.00<", text)
    assert "better in 4 of 4" in text
    assert "1.00 – 0.50 0.25" in " ".join(text.split())
    assert "Gram distance" not in text
    assert "Not measured." in text


def test_errors_are_painted_from_black_to_white():
    painted = paint(np.array([[0.0, 1.0]]))
    assert painted.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    brightness = paint(np.linspace(0, 1, 50)[None]).astype(int).sum(axis=-1)[0]
    assert (np.diff(brightness) >= 0).all()
