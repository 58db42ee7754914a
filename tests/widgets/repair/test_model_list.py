"""The list of models: what lies between the two bundled ones.

Covers: napari_ssan.widgets.shared.library
"""

from __future__ import annotations

import pytest

from napari_ssan.widgets.repair.model_list import ModelList
from napari_ssan.widgets.shared.library import result_label


@pytest.fixture
def models(user_folder):
    models = ModelList()
    yield models
    models.close()


def test_one_model_between_is_listed_at_a_time(models):
    ends = [(each.natural, each.label) for each in models.entries if each.natural is not None]
    assert ends == [(0, "Faithful (bundled)"), (100, "Natural texture (bundled)")]
    for percent in (40, 70):
        models.take_natural(percent)
        assert models.chosen.model == f"ssan-natural-{percent}"
        assert models.chosen.label == f"{percent} % natural"
        assert "invented" in models.chosen.caution
        assert [each.natural for each in models.entries if each.natural is not None] == [
            percent,
            0,
            100,
        ]
    for percent in (100, 0):
        models.take_natural(percent)
        assert models.chosen.natural == percent
        assert models.chosen in models.entries
    assert len([each for each in models.entries if each.natural is not None]) == 2


def test_a_result_is_named_as_in_the_list():
    assert result_label("ssan-realistic, 8 views") == "Natural texture, 8 views"
    assert result_label("ssan-natural-40, 8 views") == "40 % natural, 8 views"


def test_it_stays_chosen_when_the_models_are_listed_again(models):
    models.take_natural(40)
    models._read()
    assert models.chosen.model == "ssan-natural-40"
    assert models.index == 0
