"""Models between the two bundled ones: names, weights, and what may be done with them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ssan import repair
from napari_ssan.errors import BadInput
from napari_ssan.network.between import name_of, percent_of
from napari_ssan.network.model_file import copy_model, find_model, load_model, read_info
from napari_ssan.network.model_library import import_model


def test_names():
    for percent in (0, 1, 40, 99, 100):
        assert percent_of(name_of(percent)) == percent
    for name in ("ssan-natural-0", "ssan-natural-100", "ssan-natural-4.5", "natural-40", "mine"):
        assert percent_of(name) is None


def test_each_weight_is_the_mean_of_both():
    first, last = (load_model(name_of(end)).network.state_dict() for end in (0, 100))
    model = load_model("ssan-natural-25")
    for key, value in model.network.state_dict().items():
        mean = first[key].double() + 0.25 * (last[key].double() - first[key].double())
        np.testing.assert_allclose(value.double(), mean, atol=1e-6)
    assert model.info.sha256 == read_info("ssan-natural-25").sha256
    assert model.info.sha256 not in {read_info(name_of(end)).sha256 for end in (0, 26, 100)}
    assert model.info.card["between"] == ["ssan-fidelity", "ssan-realistic", 25]
    assert model.info.reference == "ssan-natural-25"
    assert model.info.bundled


def test_texture_grows_on_the_way(volume):
    """The standard deviation of the result, which grain adds to."""
    rough = [
        float(np.diff(repair(volume, [4], model=name_of(percent))[4].astype(float), axis=1).std())
        for percent in (0, 50, 100)
    ]
    assert rough == sorted(rough)
    assert rough[0] < rough[2]


def test_a_repair_says_which_it_was_made_with(volume):
    record = repair(volume, [4], model="ssan-natural-40").provenance.sections[0]
    assert (record.model, record.model_sha256) == (
        "ssan-natural-40",
        read_info("ssan-natural-40").sha256,
    )


def test_it_can_be_kept_as_a_file(tmp_path):
    copy_model("ssan-natural-40", tmp_path / "mine.safetensors")
    kept = load_model(tmp_path / "mine.safetensors").info
    assert kept.sha256 == read_info("ssan-natural-40").sha256
    assert kept.reference == str(tmp_path / "mine.safetensors")


def test_its_name_is_taken(tmp_path, user_folder):
    copy_model("ssan-fidelity", tmp_path / "ssan-natural-40.safetensors")
    assert import_model(tmp_path / "ssan-natural-40.safetensors").name != "ssan-natural-40"


def test_there_are_none_beyond_the_ends():
    with pytest.raises(BadInput, match="There is no model 'ssan-natural-100'"):
        find_model("ssan-natural-100")
