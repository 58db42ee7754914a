"""Covers: napari_ssan.training.state"""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.training import checkpoint as module
from napari_ssan.training.checkpoint import (
    CheckpointWriter,
    as_begun,
    checkpoint_path,
    digest,
    load_checkpoint,
    save_checkpoint,
)
from napari_ssan.training.events import Checkpointed
from napari_ssan.training.state import Checkpoint, TrainingState

from .conftest import CPU, make_config, make_network

IDENTITY = {"settings": {"batch": 4, "seed": 1}, "training data": [{"sections": [0, 5, 1]}]}


@pytest.fixture
def state() -> TrainingState:
    """After one step, with a best network and numbers that are no round ones."""
    state = TrainingState(make_network(), make_config(), CPU)
    views = torch.rand(2, 1, 1, 32, 32)
    state.network(views[0], views[1]).image.square().mean().backward()
    state.optimizer.step()
    state.follow()
    state.keep_best({"psnr": 1 / 3})
    state.facts.seconds = 0.1 + 0.2
    state.facts.curve = [{"step": 1, "gammas": [0.1]}]
    return state


@pytest.fixture
def checkpoint(state) -> Checkpoint:
    return state.checkpoint({"random": {"state": 2**127 + 1}})


def same(a: Checkpoint, b: Checkpoint) -> bool:
    assert a.facts == b.facts
    assert a.tensors.keys() == b.tensors.keys()
    return all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path, state, checkpoint):
    path = checkpoint_path(tmp_path / "mine.safetensors")
    save_checkpoint(path, checkpoint, IDENTITY)
    assert path.name == "mine.checkpoint"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    loaded = load_checkpoint(path, IDENTITY)
    assert same(loaded, checkpoint)
    assert {name.split(".")[0] for name in loaded.tensors} == {
        "network", "average", "best", "steps", "first", "second", "random",
    }  # fmt: skip
    fresh = TrainingState(make_network(7), make_config(), CPU)
    fresh.restore(loaded)
    assert same(fresh.checkpoint(loaded.facts.sampler), checkpoint)
    for ours, theirs in zip(fresh.network.parameters(), state.network.parameters(), strict=True):
        assert ours.stride() == theirs.stride()


def test_nothing_is_pickled(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "a.checkpoint", checkpoint, IDENTITY)
    assert load_file(tmp_path / "a.checkpoint").keys() == checkpoint.tensors.keys()


def test_a_checkpoint_stays_as_it_is(state, checkpoint):
    before = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    with torch.no_grad():
        for parameter in [*state.network.parameters(), *state.average.parameters()]:
            parameter.add_(1)
    state.keep_best({"psnr": 5.0})
    state.facts.curve[0]["step"] = 99
    assert all(torch.equal(before[name], tensor) for name, tensor in checkpoint.tensors.items())
    assert checkpoint.facts.curve[0]["step"] == 1
    assert checkpoint.facts.best_scores == {"psnr": 1 / 3}


def test_rewinding_keeps_the_count_and_the_best(state, checkpoint):
    state.facts.step = 50
    state.keep_best({"psnr": 5.0})
    with torch.no_grad():
        for parameter in state.network.parameters():
            parameter.fill_(torch.nan)
    state.optimizer.state.clear()
    state.rewind(checkpoint)
    again = state.checkpoint({})
    moved = [n for n in again.tensors if not n.startswith(("best.", "random."))]
    assert all(torch.equal(again.tensors[name], checkpoint.tensors[name]) for name in moved)
    assert state.facts.step == 50
    assert state.facts.best_scores == {"psnr": 5.0}


def test_a_format_that_is_no_number(tmp_path, checkpoint):
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, checkpoint, IDENTITY)
    content = path.read_bytes()
    for number in (b'"x"', b'"9"'):
        assert b'"format":"1"' in content
        path.write_bytes(content.replace(b'"format":"1"', b'"format":' + number))
        with pytest.raises(BadInput, match=r"not a number|newer version"):
            load_checkpoint(path, IDENTITY)


@pytest.mark.parametrize("text", ["[", "[" * 10_000, "5", '{"settings": 1}', "9" * 5000, "{}"])
@pytest.mark.parametrize("part", ["facts", "identity"])
def test_whole_files_whose_records_make_no_sense(tmp_path, checkpoint, part, text):
    path = tmp_path / "a.checkpoint"
    kept = {"facts": checkpoint.facts.model_dump_json(), "identity": json.dumps(IDENTITY)}
    kept[part] = text
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    checksum = digest(kept, tensors)
    kept |= {"kind": module.KIND, "format": "1", "sha256": checksum}
    save_file(tensors, path, kept)
    with pytest.raises(BadInput, match=r"cannot be resumed|other"):
        load_checkpoint(path, IDENTITY)


@pytest.mark.parametrize("error", [TypeError("a"), KeyError("a"), RuntimeError("a")])
def test_what_a_run_cannot_take_up_is_refused(tmp_path, error):
    with (
        pytest.raises(BadInput, match=r"a\.checkpoint cannot be resumed.*does not fit"),
        module.restoring(tmp_path / "a.checkpoint"),
    ):
        raise error


@pytest.mark.parametrize("damage", ["truncated", "empty", "altered", "text", "record", "tensors"])
def test_damaged_files_are_refused(tmp_path, checkpoint, damage):
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, checkpoint, IDENTITY)
    content = bytearray(path.read_bytes())
    if damage == "altered":
        content[-9] ^= 0x10
    elif damage == "record":
        content = content.replace(b'\\"step\\": 1,', b'\\"step\\": 2,', 1)
        assert content != path.read_bytes()
    broken = {"truncated": content[:-100], "empty": b"", "text": b"hello"}
    path.write_bytes(broken.get(damage, content))
    if damage == "tensors":
        save_file({"network.a": torch.zeros(3)}, path)
    with pytest.raises(BadInput, match="cannot be resumed"):
        load_checkpoint(path, IDENTITY)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "run.checkpoint")
    with pytest.raises(BadInput, match="is a pipe"):
        load_checkpoint(tmp_path / "run.checkpoint", {})


def test_models_and_newer_checkpoints_are_refused(tmp_path, checkpoint, tiny_model, monkeypatch):
    with pytest.raises(BadInput, match="not a checkpoint of napari-ssan"):
        load_checkpoint(tmp_path / tiny_model, IDENTITY)
    monkeypatch.setattr(module, "FORMAT", 2)
    save_checkpoint(tmp_path / "a.checkpoint", checkpoint, IDENTITY)
    monkeypatch.setattr(module, "FORMAT", 1)
    with pytest.raises(BadInput, match="newer version"):
        load_checkpoint(tmp_path / "a.checkpoint", IDENTITY)


def test_another_run_is_refused_with_what_differs(tmp_path, checkpoint):
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, checkpoint, IDENTITY)
    other = json.loads(json.dumps(IDENTITY))
    other["settings"]["batch"] = 3
    with pytest.raises(BadInput, match=r"settings: batch \(4 before, 3 now\)"):
        load_checkpoint(path, other)
    with pytest.raises(BadInput, match="other training data"):
        load_checkpoint(path, IDENTITY | {"training data": []})


def test_a_run_from_before_a_setting_was_there_goes_on(tmp_path, checkpoint):
    path = tmp_path / "a.checkpoint"
    now = IDENTITY | {"settings": make_config().model_dump(mode="json")}
    then = json.loads(json.dumps(now))
    del then["settings"]["match"], then["settings"]["loss"]["scales"]
    then["settings"]["views"] = 8  # a setting that is no more
    save_checkpoint(path, checkpoint, then)
    assert same(load_checkpoint(path, now), checkpoint)
    with pytest.raises(BadInput, match=r'settings: match \("mean" before, "histogram" now\)'):
        load_checkpoint(path, now | {"settings": now["settings"] | {"match": "histogram"}})


def test_a_failed_write_leaves_the_one_before(tmp_path, checkpoint, monkeypatch):
    path = tmp_path / "a.checkpoint"
    save_checkpoint(path, checkpoint, IDENTITY)

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, Checkpoint({}, checkpoint.facts), IDENTITY)
    assert [each.name for each in tmp_path.iterdir()] == ["a.checkpoint"]
    assert same(load_checkpoint(path, IDENTITY), checkpoint)


def test_a_full_disk_is_told_once_and_does_not_end_training(tmp_path, checkpoint, monkeypatch):
    events: list[object] = []
    writer = CheckpointWriter(tmp_path / "a.checkpoint", IDENTITY, events.append)
    writer.begin(checkpoint)
    with monkeypatch.context() as patch:
        patch.setattr(module, "serialize", lambda *rest: b"")
        patch.setattr(os, "replace", lambda *rest: (_ for _ in ()).throw(OSError(28, "full")))
        writer.keep(checkpoint)
        writer.keep(checkpoint)
        with pytest.raises(BadInput, match="cannot be written"):
            writer.begin(checkpoint)
    writer.keep(checkpoint)
    assert [type(event) for event in events] == [Notice, Checkpointed]
    assert "full" in str(events[0])


@pytest.mark.parametrize("began", [None, False, True])
def test_a_run_goes_on_with_or_without_an_inspection_as_it_began(tmp_path, checkpoint, began):
    """Versions without an inspection did not write the setting."""
    path = tmp_path / "a.checkpoint"
    config = make_config()
    settings = config.model_dump(mode="json")
    del settings["inspect"]
    if began is not None:
        settings["inspect"] = began
    save_checkpoint(path, checkpoint, {"settings": settings})
    now = as_begun(config, path)
    assert now.inspect is bool(began)
    assert same(load_checkpoint(path, {"settings": now.model_dump(mode="json")}), checkpoint)


def test_without_a_checkpoint_that_can_be_read_settings_stay(tmp_path):
    (tmp_path / "bad.checkpoint").write_text("no checkpoint")
    for name in ("none.checkpoint", "bad.checkpoint"):
        assert as_begun(make_config(), tmp_path / name) == make_config()
