import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from napari_ssan.errors import BadInput
from napari_ssan.network import model_file, model_library
from napari_ssan.network.model_file import (
    DEFAULT_MODEL,
    find_model,
    load_model,
    read_info,
    save_model,
)
from napari_ssan.network.model_library import list_models
from napari_ssan.network.ssan import SSAN, SSANConfig

SMALL = SSANConfig(features=16, blocks=1, layers=2, growth=8)
CARD = {"tile": 128, "data": ["a stack"], "metrics": {"psnr": 15.25}}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SSAN(SMALL)


@pytest.fixture
def saved(tmp_path, network):
    path = tmp_path / "mine.safetensors"
    save_model(path, network, CARD)
    return path


def metadata_of(path):
    size = int.from_bytes(path.read_bytes()[:8], "little")
    return json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]


def rewrite(path, **changes):
    """Change entries of the metadata (None removes one), the weights stay."""
    metadata = {**metadata_of(path), **changes}
    weights = load_file(path)
    save_file(weights, path, {key: value for key, value in metadata.items() if value is not None})


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_model_comes_back_as_it_was_saved(tmp_path, normalization):
    network = SSAN(SMALL.model_copy(update={"normalization": normalization}))
    network.train()(*torch.rand(2, 2, 1, 64, 64))  # moves the running statistics
    path = tmp_path / "mine.safetensors"
    info = save_model(path, network, CARD)
    model = load_model(path)
    assert model.info == info == read_info(path)
    assert (info.name, info.path, info.card) == ("mine", path, CARD)
    assert model.tile == 128
    assert model.network.config == network.config
    assert not model.network.training
    state = model.network.state_dict()
    assert state.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert torch.equal(state[key], value), key
    pair = torch.rand(2, 1, 1, 64, 64)
    assert torch.equal(model.network(*pair).image, network.eval()(*pair).image)


def test_equal_models_have_equal_digests_and_others_do_not(tmp_path, network):
    def digest(card):
        return save_model(tmp_path / "x.safetensors", network, card).sha256

    first = digest(CARD)
    assert digest(dict(reversed(CARD.items()))) == first
    assert digest({**CARD, "tile": 256}) != first
    with torch.no_grad():
        network.hybrid.out.bias.add_(1)
    assert digest(CARD) != first


@pytest.fixture
def bundle(tmp_path, monkeypatch, network):
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("a-first", DEFAULT_MODEL):
        save_model(folder / f"{name}.safetensors", network, {**CARD, "title": name})
    for module in (model_file, model_library):
        monkeypatch.setattr(module, "model_folders", lambda: [folder])
    return folder


def test_bundled_models_are_found_by_name(bundle):
    assert [info.name for info in list_models() if info.bundled] == [DEFAULT_MODEL, "a-first"]
    assert find_model("a-first") == bundle / "a-first.safetensors"
    assert load_model("a-first").info.card["title"] == "a-first"
    assert load_model().info.name == DEFAULT_MODEL


def test_other_models_are_found_by_path(bundle, saved, monkeypatch):
    assert find_model(saved) == find_model(str(saved)) == saved
    monkeypatch.setenv("HOME", str(saved.parent))
    monkeypatch.setenv("USERPROFILE", str(saved.parent))
    assert find_model("~/mine.safetensors") == saved


def test_ones_own_models_are_found_by_name_after_the_bundled_ones(
    bundle, network, tmp_path, monkeypatch
):
    monkeypatch.setattr(model_file, "user_data_path", lambda name: tmp_path / name)
    own = model_file.own_folder()
    own.mkdir(parents=True)
    for name in ("mine", "a-first"):
        save_model(own / f"{name}.safetensors", network, CARD)
    assert load_model("mine").info.path == own / "mine.safetensors"
    assert find_model("a-first") == bundle / "a-first.safetensors"
    assert [read_info(name).bundled for name in ("mine", "a-first")] == [False, True]
    with pytest.raises(BadInput, match="or one of your own: a-first, mine"):
        find_model("theirs")


@pytest.mark.parametrize("name", ["nothing", "a-first.safetensors", "", "."])
def test_a_missing_model_is_refused_with_the_names_there_are(bundle, name):
    with pytest.raises(BadInput, match=f"a-first, {DEFAULT_MODEL}"):
        load_model(name)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 0.5, -1])
def test_a_truncated_file_is_refused(saved, kept):
    content = saved.read_bytes()
    length = int(kept * len(content)) if isinstance(kept, float) else kept
    saved.write_bytes(content[:length])
    for read in (read_info, load_model):
        with pytest.raises(BadInput, match=r"mine\.safetensors cannot be used as a model"):
            read(saved)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Dear diary,\n" * 50)
    with pytest.raises(BadInput, match=r"notes\.txt .* not a complete safetensors file"):
        load_model(path)


@pytest.mark.parametrize("place", [0.3, 0.7, 0.999])
def test_a_flipped_bit_in_the_weights_is_refused(saved, place):
    content = bytearray(saved.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header + int(place * (len(content) - header))] ^= 1
    saved.write_bytes(content)
    with pytest.raises(BadInput, match="checksum"):
        load_model(saved)


def test_an_altered_card_is_refused(saved):
    rewrite(saved, card=json.dumps({**CARD, "metrics": {"psnr": 99.0}}))
    with pytest.raises(BadInput, match="checksum"):
        load_model(saved)


def test_an_altered_configuration_is_refused(saved):
    rewrite(saved, config=json.dumps({**json.loads(metadata_of(saved)["config"]), "growth": 16}))
    with pytest.raises(BadInput, match="checksum"):
        load_model(saved)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"conv.weight": np.zeros((3, 3), np.float32)}, path, metadata)
        for read in (read_info, load_model):
            with pytest.raises(BadInput, match="metadata"):
                read(path)


def test_a_newer_format_is_refused_with_the_advice_to_update(saved):
    rewrite(saved, format=str(model_file.FORMAT + 1))
    for read in (read_info, load_model):
        with pytest.raises(BadInput, match="newer version; update"):
            read(saved)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "one"},
        {"card": None},
        {"card": "{"},
        {"card": "{}"},
        {"card": "[]"},
        {"card": '{"tile": "wide"}'},
        {"config": None},
        {"config": "not json"},
        {"sha256": None},
    ],
    ids=str,
)
def test_broken_metadata_are_refused(saved, damage):
    rewrite(saved, **damage)
    for read in (read_info, load_model):
        with pytest.raises(BadInput, match="metadata"):
            read(saved)


@pytest.mark.parametrize(
    "config", [SMALL.model_copy(update={"growth": 16}).model_dump(mode="json"), {"wings": 2}, []]
)
def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, network, config):
    network.config = SimpleNamespace(model_dump_json=lambda: json.dumps(config))
    path = tmp_path / "odd.safetensors"
    save_model(path, network, CARD)  # with a checksum that is right
    with pytest.raises(BadInput, match="do not fit"):
        load_model(path)


@pytest.mark.parametrize("there_before", [True, False])
def test_a_failed_save_leaves_everything_as_it_was(tmp_path, network, monkeypatch, there_before):
    path = tmp_path / "mine.safetensors"
    if there_before:
        save_model(path, network, CARD)
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(model_file, "serialize", full)
    with pytest.raises(OSError, match="no space"):
        save_model(path, network, {"tile": 64})
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        save_model(path, network, {"tile": 64})
    with pytest.raises(TypeError):
        save_model(path, network, {"tile": 64, "note": object()})
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_saving_replaces_and_leaves_no_other_file(saved, network):
    save_model(saved, network, {"tile": 64})
    assert load_model(saved).tile == 64
    assert list(saved.parent.iterdir()) == [saved]


def test_reading_what_a_file_says_of_itself_needs_no_torch(saved):
    code = (
        "import sys\n"
        "from napari_ssan.network.model_file import read_info\n"
        "from napari_ssan.network.model_library import list_models\n"
        "list_models()\n"
        "assert read_info(sys.argv[1]).card['tile'] == 128\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("card", '{"tile": 0}'),
        ("card", '{"tile": Infinity}'),
        ("card", '{"tile": 128, "summary": ["x"]}'),
        ("card", '{"tile": 128, "terms": {}}'),
        ("card", "[]"),
        ("card", "[" * 100_000),
        ("config", "[" * 100_000),
        ("format", "9" * 5000),
    ],
)
def test_a_card_that_makes_no_sense(saved, key, text):
    metadata = metadata_of(saved) | {key: text}
    save_file(load_file(saved), saved, metadata)
    with pytest.raises(BadInput, match="cannot be used as a model"):
        read_info(saved)


def test_one_damaged_model_leaves_the_others_in_the_list(saved, user_folder):
    own = model_file.own_folder()
    own.mkdir(parents=True)
    (own / "good.safetensors").write_bytes(saved.read_bytes())
    card = {"card": '{"tile": 128, "summary": {"a": []}}'}
    save_file(load_file(saved), own / "odd.safetensors", metadata_of(saved) | card)
    said = []
    names = [info.name for info in list_models(said.append)]
    assert "good" in names
    assert "odd" not in names
    assert "odd is left out" in said[0]


@pytest.mark.parametrize(
    "config",
    [{"blocks": 10**6}, {"features": 2**20}, {"attention": [10**6]}, {"attention": [0]}],
)
def test_a_configuration_that_asks_for_all_memory(tmp_path, network, config):
    large = SMALL.model_dump(mode="json") | config
    network.config = SimpleNamespace(model_dump_json=lambda: json.dumps(large))
    path = tmp_path / "odd.safetensors"
    save_model(path, network, CARD)
    with pytest.raises(BadInput, match="do not fit"):
        load_model(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(tmp_path, network, value, monkeypatch):
    with torch.no_grad():
        next(network.parameters()).view(-1)[3] = float(value)
    path = tmp_path / "odd.safetensors"
    with pytest.raises(BadInput, match="is not written, as its weights are not finite"):
        save_model(path, network, CARD)
    assert not list(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(model_file, "_finite", lambda weights: True)
        save_model(path, network, CARD)
    with pytest.raises(BadInput, match="not finite"):
        load_model(path)


def test_numbers_that_numpy_has_not(saved):
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    weights = {key: value.bfloat16() for key, value in load_torch(saved).items()}
    save_torch(weights, saved, metadata_of(saved))
    with pytest.raises(BadInput, match="cannot be used as a model"):
        load_model(saved)


def test_a_card_holds_no_nan_and_one_that_does_is_still_read(tmp_path, network):
    path = tmp_path / "mine.safetensors"
    info = save_model(path, network, CARD | {"metrics": {"psnr": float("nan")}})
    assert info.card["metrics"] == {"psnr": None}
    assert "NaN" not in metadata_of(path)["card"]
    assert load_model(path).info == info
    card = CARD | {"metrics": {"psnr": float("nan")}}  # as older versions wrote it
    digest = model_file.digest(model_file._text(info.config, card), load_file(path))
    rewrite(path, card=json.dumps(card), sha256=digest)
    assert np.isnan(load_model(path).info.card["metrics"]["psnr"])
