"""Covers: napari_ssan.training.events, napari_ssan.training.result"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Notice
from napari_ssan.network.model_file import load_model, read_info
from napari_ssan.segmenter.segmenter import Segmenter
from napari_ssan.segmenter.unet import UNet
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack
from napari_ssan.stack.source import Source
from napari_ssan.training import result as result_module
from napari_ssan.training import run as run_module
from napari_ssan.training.checkpoint import load_checkpoint, save_checkpoint
from napari_ssan.training.events import (
    Checkpointed,
    Compared,
    Finished,
    Preparing,
    RolledBack,
    StepDone,
    Validated,
)
from napari_ssan.training.result import discard

from .conftest import make_network, make_volume


def of(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).network.state_dict()


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    assert a.keys() == b.keys()
    return all(torch.equal(a[key], b[key]) for key in a)


def after(step: int, flag: threading.Event):
    """Set a flag once a step is done."""

    def listen(event: object) -> None:
        if isinstance(event, StepDone) and event.step == step:
            flag.set()

    return listen


def test_a_run_makes_a_model_with_a_card(trained, events, tmp_path):
    result = trained()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine.safetensors",
        "mine.training.csv",
    ]
    assert equal(weights(tmp_path / "mine.safetensors"), result.network.state_dict())
    assert not result.network.training
    card = read_info(tmp_path / "mine.safetensors").card
    assert card["trained_on"] == ["blobs"]
    assert card["tile"] == 32
    assert card["loss"] == "L_1"
    assert card["match"] == "mean"
    assert card["training"]["seed"] == 0
    assert card["steps"] == result.steps == 12
    assert card["minutes"] == result.minutes > 0
    assert [entry["step"] for entry in card["curve"]] == [6, 12]
    assert card["validation"].keys() == {"sections", "start", "average", "tvl1", "model"}
    assert card["validation"]["model"] == result.scores
    best = card["curve"][[6, 12].index(card["best_step"])]
    assert result.scores == {name: best[name] for name in result.scores}
    assert card["better"] == result.better == (result.scores["psnr"] > result.start_scores["psnr"])
    kinds = [type(event) for event in events]
    order = [Preparing, Compared, Validated, StepDone, Checkpointed, Finished]
    assert sorted(map(kinds.index, order)) == list(map(kinds.index, order))
    assert kinds[-1] is Finished
    with (tmp_path / "mine.training.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [0, 6, 10, 12, 12]


def test_the_start_stays_as_it_is(trained, network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    trained()
    assert equal(network.state_dict(), before)


def test_held_out_sections_are_never_read_for_training(trained, events, tmp_path):
    read: set[int] = set()

    class Watched(SliceStack):
        def read(self, z, window=None):
            if judging:
                return super().read(z, window)
            read.add(z)
            return super().read(z, window)

    judging = True

    def listen(event: object) -> None:
        nonlocal judging
        judging = not (isinstance(event, Validated) and event.step == 0)

    trained([Source(Watched(make_volume()))], listen=listen, validate_every=1, steps=40)
    (notice,) = [str(event) for event in events if "Held out" in str(event)]
    first, last = map(int, notice.split("slices ")[1].split("-"))
    assert last == 15
    assert read
    assert max(read) < first - 2


def test_own_validation_sources_are_used(trained, tmp_path):
    volume = make_volume()
    train, held = Source(SliceStack(volume), 0, 9), Source(SliceStack(volume), 9, 16)
    trained([train], [held])
    card = read_info(tmp_path / "mine.safetensors").card
    assert all(10 <= z <= 14 for _, z in card["validation"]["sections"])
    with pytest.raises(BadInput, match="both to train and to validate"):
        trained([train], [Source(SliceStack(volume), 7, 16)], output="other.safetensors")


def test_marked_sections_are_left_out_and_counted(trained, events):
    source = Source(SliceStack(make_volume()), marks=Marks({4}))
    trained([source])
    assert any("left out: 3 marked" in str(event) for event in of(events, Notice))


def test_epochs(trained, events):
    result = trained(epochs=0.5, batch=4)
    (notice,) = [str(event) for event in events if " triplets, " in str(event)]
    triplets = int(notice.split(": ")[1].split(" ")[0])
    assert result.steps == -(-triplets * 4 * 0.5 // 4)


@pytest.mark.parametrize("preset", ["L_f", "L_s"])
def test_without_vgg_the_pixel_loss_is_trained_and_that_is_said(trained, events, tmp_path, preset):
    trained(loss={"preset": preset})
    assert any("training uses L_1 instead" in str(event) for event in of(events, Notice))
    card = read_info(tmp_path / "mine.safetensors").card
    assert card["loss"] == card["training"]["loss"]["preset"] == "L_1"
    assert card["loss_weights"] == {"pixel": 1.0}


def test_with_vgg_the_taps_are_said(trained, events, tmp_path, vgg):
    trained(loss={"preset": "L_s"}, vgg=vgg)
    assert any("relu1_2" in str(event) for event in of(events, Notice))
    card = read_info(tmp_path / "mine.safetensors").card
    assert card["loss"] == "L_s"
    assert card["vgg_taps"] == ["relu1_2"]
    assert set(card["loss_weights"]) == {"pixel", "feature", "style"}


# Interruptions.

LONG = {"steps": 34, "validate_every": 0.2, "batch": 2}


@pytest.mark.parametrize("step", [4, 17])
def test_interrupted_and_resumed_is_uninterrupted(trained, events, tmp_path, step):
    whole = trained(output="whole.safetensors", **LONG)
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        trained(cancel=cancel, listen=after(step, cancel), **LONG)
    assert sorted(path.name for path in tmp_path.glob("mine*")) == [
        "mine.checkpoint",
        "mine.training.csv",
    ]
    events.clear()
    torch.manual_seed(99)  # whatever else happened in the meantime
    parts = trained(start=make_network(), resume=True, **LONG)
    assert of(events, StepDone)[0].step == 10 * (step // 10) + 1
    assert equal(parts.network.state_dict(), whole.network.state_dict())
    assert (parts.scores, parts.start_scores) == (whole.scores, whole.start_scores)
    curves = [read_info(tmp_path / f"{n}.safetensors").card["curve"] for n in ("mine", "whole")]
    for entry in (*curves[0], *curves[1]):
        del entry["minutes"]
    assert curves[0] == curves[1]
    tables = [(tmp_path / f"{n}.training.csv").read_text() for n in ("mine", "whole")]
    assert tables[0].splitlines()[-3:] == tables[1].splitlines()[-3:]
    assert [row.split(",")[0] for row in tables[0].splitlines()] == [
        row.split(",")[0] for row in tables[1].splitlines()
    ]
    assert not (tmp_path / "mine.checkpoint").exists()


def test_what_is_told_before_is_told_again(trained, events):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        trained(cancel=cancel, listen=after(25, cancel), **LONG)
    told = [event for event in of(events, Validated) if event.step <= 20]
    events.clear()
    trained(resume=True, **LONG)
    again = of(events, Validated)[: len(told)]
    assert [(e.step, e.scores) for e in again] == [(e.step, e.scores) for e in told]
    assert len(of(events, Compared)) == 1


KILLED = """
    import sys
    from pathlib import Path
    from napari_ssan.training.events import Checkpointed
    sys.path.insert(0, {tests!r})
    from conftest import CPU, make_config, make_network, make_volume
    from napari_ssan.stack.sections import SliceStack
    from napari_ssan.stack.source import Source
    from napari_ssan.training.run import run

    def report(event):
        if isinstance(event, Checkpointed):
            print(event.step, flush=True)

    config = make_config(steps=10**6, checkpoint_every=1e-9)
    source = Source(SliceStack(make_volume()))
    run(config, [source], [], make_network(), Path({output!r}), {{}}, device=CPU, report=report)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_and_resumed_is_uninterrupted(trained, events, tmp_path):
    output = tmp_path / "mine.safetensors"
    code = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), output=str(output))
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | threads, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:  # somewhere after the third checkpoint
        if int(line) >= 30:
            break
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    assert not output.exists()
    step = 0

    def stop_at_next(event: object) -> None:
        nonlocal step
        if isinstance(event, StepDone):
            step = step or event.step + 25
            if event.step == step:
                stop.set()

    stop = threading.Event()
    budget = {"steps": 10**6, "checkpoint_every": 1e-9}
    resumed = trained(resume=True, stop=stop, listen=stop_at_next, **budget)
    assert of(events, StepDone)[0].step >= 31
    assert of(events, StepDone)[0].step % 10 == 1
    stop = threading.Event()
    whole = trained(output="whole.safetensors", stop=stop, listen=after(step, stop), **budget)
    assert whole.steps == resumed.steps == step
    assert equal(resumed.network.state_dict(), whole.network.state_dict())


def test_a_checkpoint_of_before_triplets_had_numbers_goes_on(trained, events, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        trained(cancel=cancel, listen=after(12, cancel), **LONG)
    path = tmp_path / "mine.checkpoint"
    with safe_open(path, framework="pt") as file:
        identity = json.loads(file.metadata()["identity"])
    kept = load_checkpoint(path, identity)
    assert kept.facts.sampler == {"seed": 0, "drawn": 20}
    kept.facts.sampler = {"random": np.random.default_rng(0).bit_generator.state}
    save_checkpoint(path, kept, identity)
    events.clear()
    assert trained(resume=True, **LONG).steps == 34
    assert of(events, StepDone)[0].step == 11


def test_a_checkpoint_of_another_run_is_refused(trained, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        trained(cancel=cancel, listen=after(12, cancel), **LONG)
    checkpoint = (tmp_path / "mine.checkpoint").read_bytes()
    with pytest.raises(BadInput, match=r"settings: batch \(2 before, 3 now\)"):
        trained(resume=True, **(LONG | {"batch": 3}))
    with pytest.raises(BadInput, match="other training data"):
        trained([Source(SliceStack(make_volume(seed=1)))], resume=True, **LONG)
    with pytest.raises(BadInput, match="other network"):
        trained(start=make_network(5), resume=True, **LONG)
    with pytest.raises(BadInput, match="resume that run"):
        trained(**LONG)
    assert (tmp_path / "mine.checkpoint").read_bytes() == checkpoint
    assert trained(overwrite=True, **LONG).steps == 34


def test_resuming_without_a_checkpoint_begins(trained, events):
    assert trained(resume=True).steps == 12
    assert any("starts from the beginning" in str(event) for event in of(events, Notice))


def test_what_exists_is_not_replaced_unasked(trained, tmp_path):
    (tmp_path / "mine.safetensors").write_text("precious")
    for options in ({}, {"resume": True}):
        with pytest.raises(BadInput, match="exists already"):
            trained(**options)
    assert (tmp_path / "mine.safetensors").read_text() == "precious"
    (tmp_path / "other.training.csv").write_text("precious")
    with pytest.raises(BadInput, match="exists already"):
        trained(output="other.safetensors")
    assert (tmp_path / "other.training.csv").read_text() == "precious"
    trained(overwrite=True)
    assert load_model(tmp_path / "mine.safetensors").tile == 32


@pytest.mark.parametrize("name", ["mine.txt", "absent/mine.safetensors"])
def test_outputs_that_cannot_be_are_refused(trained, name):
    with pytest.raises(BadInput, match="existing folder"):
        trained(output=name)


def test_a_crop_off_the_networks_lattice_is_refused(trained):
    with pytest.raises(BadInput, match="multiple of 8"):
        trained(crop=36)


def test_a_crop_off_the_segmenters_lattice_is_refused(trained):
    segmenter = Segmenter(UNet((4, 4, 4, 4, 4)).eval())
    with pytest.raises(BadInput, match="multiple of 16"):
        trained(crop=40, segmenter=segmenter, loss={"membranes": 1})


def test_a_run_goes_on_with_the_same_segmenter_only(trained):
    torch.manual_seed(0)
    one, other = (Segmenter(UNet((4, 4)).eval()) for _ in range(2))
    stop = threading.Event()
    weighed = {"loss": {"membranes": 1.0}, "steps": 6}

    def cancel_after_two(event):
        if isinstance(event, StepDone) and event.step == 2:
            stop.set()

    with pytest.raises(Cancelled):
        trained(segmenter=one, listen=cancel_after_two, cancel=stop, **weighed)
    with pytest.raises(BadInput, match="segmenter"):
        trained(segmenter=other, resume=True, **weighed)
    assert trained(segmenter=one, resume=True, **weighed).steps == 6


@pytest.mark.parametrize("kind", ["constant", "nan", "short", "small"])
def test_stacks_that_cannot_be_trained_on_are_refused(trained, tmp_path, kind):
    volume = make_volume().astype(np.float32)
    volume = {
        "constant": np.full_like(volume, 7),
        "nan": np.full_like(volume, np.nan),
        "short": volume[:6],
        "small": volume[:, :24, :24],
    }[kind]
    with pytest.raises(BadInput):
        trained([Source(SliceStack(volume))])
    assert list(tmp_path.iterdir()) == []


def test_cancel_in_the_preparation_leaves_nothing(trained, tmp_path):
    for kind in (Preparing, Compared):
        flag = threading.Event()

        def listen(event: object, kind: type = kind, flag: threading.Event = flag) -> None:
            if isinstance(event, kind):
                flag.set()

        with pytest.raises(Cancelled):
            trained(cancel=flag, listen=listen)
        with pytest.raises(Cancelled):
            trained(stop=flag, listen=listen)
        assert list(tmp_path.iterdir()) == []


def test_stop_before_the_first_step_leaves_off(trained, events, tmp_path):
    stop = threading.Event()
    with pytest.raises(Cancelled):
        trained(stop=stop, listen=lambda event: isinstance(event, Validated) and stop.set())
    assert not of(events, StepDone)
    assert not (tmp_path / "mine.safetensors").exists()


def test_what_is_discarded_is_gone(trained, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        trained(cancel=cancel, listen=after(3, cancel))
    discard(tmp_path / "mine.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_stop_writes_the_best_so_far(trained, events, tmp_path):
    stop = threading.Event()
    result = trained(stop=stop, listen=after(15, stop), steps=20, validate_every=0.25)
    assert "stopped after step 15" in result.reason
    assert of(events, Finished)[0].reason == result.reason
    best = max(of(events, Validated)[1:], key=lambda event: event.scores["psnr"])
    assert best.step in (5, 10, 15)
    assert read_info(tmp_path / "mine.safetensors").card["best_step"] == best.step
    assert not (tmp_path / "mine.checkpoint").exists()


def test_the_start_is_handed_over_where_training_is_no_gain(trained, network, tmp_path):
    spoil = {"learning_rate": 0.5, "clip": 100.0, "steps": 6}
    result = trained(keep_start=True, **spoil)
    assert not result.better
    assert result.scores == result.start_scores
    assert equal(weights(tmp_path / "mine.safetensors"), network.state_dict())
    card = read_info(tmp_path / "mine.safetensors").card
    assert card["unchanged"]
    assert not card["better"]
    result = trained(output="other.safetensors", **spoil)
    assert not result.better
    assert result.scores["psnr"] < result.start_scores["psnr"]
    assert not equal(weights(tmp_path / "other.safetensors"), network.state_dict())


def test_a_run_that_never_makes_a_step_is_explained(trained, events, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_ssan.losses.total.charbonnier", lambda image, *rest: image.mean() * np.nan
    )
    with pytest.raises(BadInput, match="lower the learning rate"):
        trained()
    assert len(of(events, RolledBack)) == 3
    assert list(tmp_path.iterdir()) == []
    assert trained(keep_start=True).reason


def test_memory_that_does_not_suffice_for_the_rest_is_a_sentence(trained, monkeypatch):
    def full(*arguments: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB.")

    monkeypatch.setattr(run_module, "TrainingState", full)
    with pytest.raises(BadInput, match="not enough memory"):
        trained()


def test_a_full_disk_at_the_end_loses_nothing(trained, tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    whole = trained(output="whole.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(result_module, "save_model", full)
        with pytest.raises(BadInput, match=r"No space left.*resume the run"):
            trained()
    assert not (tmp_path / "mine.safetensors").exists()
    assert equal(trained(resume=True).network.state_dict(), whole.network.state_dict())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_is_said_before_training(trained, events, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BadInput, match="cannot be written"):
            trained()
    finally:
        tmp_path.chmod(0o700)
    assert not of(events, StepDone)


def test_errors_hold_no_memory(trained, monkeypatch):
    """The frames of what failed forget their tensors."""

    def fails(*arguments: object) -> None:
        kept = torch.zeros(3)
        raise OSError(5, f"disk gone {len(kept)}")

    monkeypatch.setattr("napari_ssan.training.loop.Training.run", fails)
    with pytest.raises(OSError, match="disk gone") as caught:
        trained()
    frames = [entry.tb_frame for entry in _tracebacks(caught.value)]
    inner = [frame for frame in frames if frame.f_code.co_name in ("fails", "run")]
    assert len(inner) == 2
    assert not any(frame.f_locals for frame in inner)


def _tracebacks(error: BaseException):
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next
