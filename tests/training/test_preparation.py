from __future__ import annotations

import pytest
import torch

from napari_ssan.errors import BadInput
from napari_ssan.losses.total import TotalLoss
from napari_ssan.training.checkpoint import checkpoint_path, save_checkpoint
from napari_ssan.training.log import table_path
from napari_ssan.training.preparation import check_files, find_checkpoint, identify, without_vgg
from napari_ssan.training.state import TrainingState

from .conftest import CPU, make_config, make_network


@pytest.mark.parametrize("name", ["model.pt", "absent/model.safetensors"])
def test_the_output_is_a_model_file_in_a_folder_that_exists(tmp_path, name):
    with pytest.raises(BadInput, match="file in an existing folder"):
        check_files(tmp_path / name, resume=False, overwrite=True)


@pytest.mark.parametrize(
    ("left", "resume", "said"),
    [
        ("model", False, "exists already"),
        ("model", True, "exists already"),
        ("checkpoint", False, "--resume"),
        ("checkpoint", True, None),
        ("table", False, "of another run exists already"),
        ("table", True, None),
        (None, False, None),
    ],
)
def test_what_exists_is_replaced_only_if_asked(tmp_path, left, resume, said):
    output = tmp_path / "mine.safetensors"
    paths = {"model": output, "checkpoint": checkpoint_path(output), "table": table_path(output)}
    if left:
        paths[left].write_text("precious")
    if said:
        with pytest.raises(BadInput, match=said):
            check_files(output, resume, overwrite=False)
    else:
        check_files(output, resume, overwrite=False)
    check_files(output, resume, overwrite=True)


def test_the_pixel_loss_replaces_others_only_without_vgg(tmp_path):
    notices: list = []
    pixel, natural = make_config(), make_config(loss={"preset": "L_s", "structure": 0.1})
    assert without_vgg(pixel, None, notices.append) == pixel
    assert without_vgg(natural, tmp_path / "vgg.safetensors", notices.append) == natural
    assert notices == []
    changed = without_vgg(natural, None, notices.append)
    assert changed.loss == natural.loss.model_copy(update={"preset": "L_1"})
    assert changed == natural.model_copy(update={"loss": changed.loss})
    (notice,) = notices
    assert "L_s needs VGG16 weights" in str(notice)


def test_a_run_is_the_same_only_with_the_same_settings_data_and_network(source):
    def identity(config, sources, network):
        return identify(config, sources, [source], network, TotalLoss(config.loss))

    same = identity(make_config(), [source], make_network())
    assert identity(make_config(), [source], make_network()) == same
    others = {
        "settings": identity(make_config(seed=3), [source], make_network()),
        "training data": identity(make_config(), [], make_network()),
        "network": identity(make_config(), [source], make_network(1)),
    }
    for key, other in others.items():
        assert {name for name in same if same[name] != other[name]} == {key}


def test_a_checkpoint_is_found_or_its_absence_is_said(tmp_path):
    output, notices, identity = tmp_path / "mine.safetensors", [], {"settings": {"a": 1}}
    assert find_checkpoint(output, identity, notices.append) is None
    assert "no mine.checkpoint" in str(notices.pop())
    state = TrainingState(make_network(), make_config(), CPU)
    state.facts.step = 7
    save_checkpoint(checkpoint_path(output), state.checkpoint({}), identity)
    found = find_checkpoint(output, identity, notices.append)
    assert found.facts.step == 7
    weights = state.network.state_dict()
    assert all(torch.equal(found.tensors[f"network.{key}"], weights[key]) for key in weights)
    assert notices == []
    with pytest.raises(BadInput, match="other settings"):
        find_checkpoint(output, {"settings": {"a": 2}}, notices.append)
