from __future__ import annotations

import base64
import io
import re
from types import GeneratorType

import numpy as np
import pytest
from PIL import Image

import napari_ssan
from napari_ssan import Marks, Region
from napari_ssan.engine.provenance import Provenance, SyntheticSection
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.report.page import to_html
from napari_ssan.stack.pictures import OUTLINE
from napari_ssan.stack.sections import SliceStack


class Watched:
    """A volume that counts the pixels that are read of it."""

    def __init__(self, shape):
        self.shape, self.dtype, self.most = shape, np.dtype(np.uint8), 0

    def __getitem__(self, index):
        made = np.empty([1], np.uint8)
        lengths = [len(range(n)[i]) for n, i in zip(self.shape, index, strict=True)
                   if isinstance(i, slice)]  # fmt: skip
        self.most = max(self.most, int(np.prod(lengths)))
        return np.broadcast_to(made, lengths)


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'<figure><img src="data:image/png;base64,([^"]+)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB"))
            for each in found]  # fmt: skip


@pytest.fixture
def repaired(volume) -> RepairedStack:
    region = Region.from_mask(np.ones((8, 10)), 12, 20)
    marks = Marks({2, 8}, {5: [region]}, {6: 1})
    return napari_ssan.repair(volume, marks, method="average")


def test_each_repair_is_shown_with_its_neighbours(repaired):
    page = "".join(to_html(repaired, "<blink>&stack.tif"))
    shown = pictures(page)
    # whole: 5; region: 5; inserted, which has no picture from before: 4; copied from one side: 4
    assert len(shown) == 5 + 5 + 4 + 4
    outlined = [(picture == OUTLINE).all(axis=-1).any() for picture in shown]
    assert [n for n, on in enumerate(outlined) if on] == [6, 7]
    for text in (
        "Slice 2: whole slice, from 1 and 3, by average",
        "Slice 5: region, 0.64 %, from 4 and 6, by average",
        "Missing slice 1 after 6: inserted slice, from 6 and 7, by average",
        "Slice 8: copied, from 7, by copy",
    ):
        assert text in page
    assert "Nobody has looked at the result yet" in page
    assert "<blink>" not in page
    assert not re.search(r"<script|<link|https?://", page)


def test_corrected_pixels_are_not_called_synthetic(volume):
    marks = Marks({2, 5}, corrected={2})
    both = "".join(to_html(napari_ssan.repair(volume, marks, method="average"), "stack"))
    assert "Slice 2: whole slice, corrected, matched to 1 and 3" in both
    assert "Expected error: none, these are its own pixels." in both
    assert "Slice 5: whole slice, from 4 and 6, by average" in both
    assert "All other repaired pixels are synthetic." in both
    marks.discard((5, 0))
    own = "".join(to_html(napari_ssan.repair(volume, marks, method="average"), "stack"))
    assert "Corrected pixels are the slice's own" in own
    assert "synthetic" not in own


def test_it_says_what_is_accepted_and_what_was_synthetic_before(repaired):
    record = SyntheticSection(
        section=0, kind="whole", share=1, neighbours=(1,), position=0, method="copy"
    )
    earlier = Provenance(sections=(record,))
    page = "".join(to_html(repaired, "stack", {(2, 0): True, (5, 0): False}, earlier))
    assert "1 of 4 is accepted." in page
    assert page.count("<td>yes</td>") == 1
    assert page.count("<td>not yet</td>") == 3
    assert "Synthetic already when the file was opened: slice 0." in page


def test_a_blank_slice_does_not_spoil_the_grey_scale(volume):
    volume[4] = 255
    page = "".join(to_html(napari_ssan.repair(volume, [4], method="average"), "stack"))
    first, before, *_ = pictures(page)
    assert first.std() > 20
    assert (before == 255).all()


def test_neither_the_stack_nor_the_page_is_held(volume):
    shape = (9, 4000, 5000)
    watched = Watched(shape)
    repaired = RepairedStack(SliceStack(watched))
    (patch,) = napari_ssan.repair(volume, [4], method="average").patches((4, 0))
    repaired.add(patch)
    page = to_html(repaired, "stack")
    assert isinstance(page, GeneratorType)
    assert watched.most == 0
    assert "</html>" in "".join(page)
    assert 0 < watched.most < 400 * 400


def test_nothing_repaired(volume):
    assert "Nothing is repaired." in "".join(to_html(RepairedStack(SliceStack(volume)), "stack"))
