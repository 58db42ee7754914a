from __future__ import annotations

import subprocess
import sys

import pytest

from napari_ssan.widgets.fine_tune.state import (
    Base,
    FineTuneState,
    TrainingData,
    about_text,
    megabytes_text,
    model_name,
    ranges_text,
    share_text,
    step_text,
)
from napari_ssan.widgets.fine_tune.training_data import left_out


def test_progress_is_never_without_a_word():
    assert share_text("looking for triplets", 4, 10) == "Looking for triplets, 40 %"
    assert share_text("starting", 0, 0) == "Starting…"
    assert step_text(640, 360, "1.2 GB CPU") == "step 640 · 6 min left · 1.2 GB CPU"
    assert step_text(640, 0.2) == "step 640 · almost done"
    assert megabytes_text(12 << 20, 528 << 20) == "Downloading VGG16: 12 of 528 MB"


def test_words_of_a_run():
    text = about_text("em", "natural", "ssan-realistic", 10.0)
    assert text == "em\nnatural, from ssan-realistic, 10 min"
    assert model_name("cortex_A7.ome.tif", "natural") == "cortex_A7 natural"
    assert model_name("2024.05.01_cortex", "natural") == "2024.05.01_cortex natural"
    assert model_name(".tif", "faithful") == "my stack faithful"


@pytest.mark.parametrize(
    ("sections", "text"),
    [((3,), "3"), ((3, 4, 5), "3–5"), ((5, 3, 9, 4), "3–5, 9"), ((), "")],
)
def test_ranges(sections, text):
    assert ranges_text(sections) == text


def test_triplets_that_follow_each_other_are_one_entry():
    entries = left_out(
        [((1, 2, 3), "marked"), ((2, 3, 4), "marked"), ((4, 5, 6), "blurred"), ((8, 9, 10), "x")]
    )
    assert [(ranges_text(e.sections), e.reason) for e in entries] == [
        ("1–4", "marked"),
        ("4–6", "blurred"),
        ("8–10", "x"),
    ]


@pytest.mark.parametrize(
    ("change", "can"),
    [
        ({}, True),
        ({"refusal": "no stack"}, False),
        ({"wants_vgg": True}, False),
        ({"bases": ()}, False),
        ({"data": TrainingData("too little", ready=False)}, False),
        ({"data": TrainingData(busy="looking")}, True),
    ],
)
def test_when_training_can_begin(change, can):
    known = {"bases": (Base("a", "A", ""),)} | change
    assert FineTuneState(**known).can_train is can


def test_words_need_no_qt():
    code = (
        "import sys, napari_ssan.widgets.fine_tune.state, napari_ssan.widgets.fine_tune.history;"
        "assert not {'napari', 'torch', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
