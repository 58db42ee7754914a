from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.inspection.page import to_html
from napari_ssan.stack.pictures import OUTLINE
from napari_ssan.stack.region import Region
from napari_ssan.stack.sections import SliceStack

NAME = "<blink>&stack.tif"


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB"))
            for each in found]  # fmt: skip


def test_each_find_is_shown_between_its_neighbours(volume):
    region = Region.from_mask(np.ones((8, 10)), 12, 20)
    finds = (
        Find(3, "hole", 5.0, 0.9, "A spot is <lighter>.", region=region),
        Find(0, "blur", 4.0, 0.8, "It is less sharp."),
    )
    page = to_html(Inspection(9, 1, 0.7, finds, ("Cannot tell <this>.",)), SliceStack(volume), NAME)
    shown = pictures(page)
    assert len(shown) == 5  # the first section has one neighbour
    outlined = [(picture == OUTLINE).all(axis=-1).any() for picture in shown]
    assert outlined == [False, True, False, False, False]
    assert "<blink>" not in page
    assert "&lt;blink&gt;&amp;stack.tif" in page
    assert "A spot is &lt;lighter&gt;." in page
    assert "Cannot tell &lt;this&gt;." in page
    assert not re.search(r"<script|<link|https?://", page)


def test_lost_slices_are_no_broken_slice(volume):
    find = Find(3, "discontinuity", 5.0, 0.9, "Slices seem to be lost.", gap=2)
    page = to_html(Inspection(9, 0, 0.7, (find,)), SliceStack(volume), NAME)
    assert "<td>after slice 3</td>" in page
    assert "<h3>After slice 3: discontinuity, p 0.90, insert 2</h3>" in page
    assert "whole slice" not in page
    assert "synthesize" not in page


def test_a_clean_stack_says_so(volume):
    page = to_html(Inspection(9, 0, None, ()), SliceStack(volume), "clean.tif")
    assert "Nothing was found." in page
    assert pictures(page) == []
