from __future__ import annotations

from pathlib import Path

import pytest

from napari_ssan.engine.tiles import Tiling
from napari_ssan.export.model_page import licence, page
from napari_ssan.network.model_file import ModelInfo

KNOWN = {"CC-BY-NC-SA-3.0", "CC-BY-4.0", "CC-BY-ND-4.0", "CC0-1.0", "MIT", "BSD-3-Clause", "Glide"}


@pytest.mark.parametrize(
    ("terms", "identifier"),
    [
        ("CC BY-NC-SA 3.0 (the strictest of its training data's terms)", "CC-BY-NC-SA-3.0"),
        ("cc by nd 4.0.", "CC-BY-ND-4.0"),
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("CC0-1.0", "CC0-1.0"),
        ("the MIT licence", "MIT"),
        ("BSD-3-Clause, as the code; BSD-3-Clause", "BSD-3-Clause"),
        ("BSD-3-Clause AND CC-BY-4.0", None),
        ("CC BY", None),
        ("CC BY 9.0", None),
        ("Glide over it", None),
        ("free for non-commercial use", None),
        ("", None),
    ],
)
def test_licences_are_told_from_prose(terms, identifier):
    assert licence(terms, KNOWN.__contains__) == identifier


def test_the_page_says_what_the_format_wants_and_what_a_user_needs():
    info = ModelInfo("mine", Path("x"), {}, {"tile": 96, "terms": "ask me"}, "abc")
    tiling = Tiling(640, 48, multiple=32)
    text = page(info, tiling)
    assert "## Validation" in text
    assert "divides by 6 " in text
    assert "up to 640 × 640" in text
    assert "overlap by 48" in text
    assert "multiples of 32" in text
    assert text.endswith("ask me\n")
    bare = ModelInfo("mine", Path("x"), {}, {"tile": 96}, "abc")
    assert "view" not in text.split("## Inputs")[1]
    assert "stated no terms" in page(bare, tiling)
