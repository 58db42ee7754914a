from __future__ import annotations

from typing import get_args

import pytest
import tifffile

from napari_ssan.cli.options import LossName, MethodName
from napari_ssan.engine.methods import METHODS
from napari_ssan.losses.config import LossConfig


def test_choices_are_those_of_the_core():
    assert get_args(MethodName) == METHODS
    assert get_args(LossName) == get_args(LossConfig.model_fields["preset"].annotation)


@pytest.mark.parametrize(
    ("command", "choices"),
    [("repair", get_args(MethodName)), ("train", get_args(LossName)), ("triplets", ("mean",))],
)
def test_help_lists_choices(run, command, choices, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told = run(command, "--help").out
    assert all(choice in told for choice in choices)


@pytest.fixture
def leading_out(tmp_path, volume):
    """A folder of images, of which one is a link to an image elsewhere."""
    folder = tmp_path / "in"
    folder.mkdir()
    for z, section in enumerate(volume):
        tifffile.imwrite(folder / f"{z}.tif", section)
    (folder / "3.tif").rename(tmp_path / "elsewhere.tif")
    (folder / "3.tif").symlink_to(tmp_path / "elsewhere.tif")
    return folder


COMMANDS = {
    "repair": ("repair", "{}", "out.tif", "--defects", "2", "--method", "average"),
    "evaluate": ("evaluate", "{}", "--slices", "2", "--methods", "copy"),
    "triplets": ("triplets", "{}", "triplets", "--size", "32"),
    "train": ("train", "{}", "--output", "m.safetensors", "--device", "none"),
    "train --val": ("train", "other.tif", "--val", "{}", "--output", "m.safetensors"),
    "fine-tune": ("fine-tune", "{}", "--output", "m.safetensors", "--device", "none"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_leads_out_of_the_folder_is_followed_on_demand(
    run, leading_out, tmp_path, volume, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("other.tif", volume)
    words = [str(leading_out) if word == "{}" else word for word in COMMANDS[command]]
    assert "3.tif, outside its folder" in run(*words).sentence
    done = run(*words, "--follow-links")
    assert "outside its folder" not in done.err
    assert "No such option" not in done.err
    if command in ("repair", "evaluate"):
        assert done.code == 0


@pytest.mark.parametrize("command", ["repair --region", "evaluate --labels"])
def test_masks_and_labels_that_lead_out(run, leading_out, stack, tmp_path, command):
    if command.startswith("repair"):
        words = ("repair", stack, tmp_path / "out.tif", "--region", leading_out)
    else:
        words = ("evaluate", stack, "--labels", leading_out, "--methods", "copy")
    assert "outside its folder" in run(*words).sentence
    assert "outside its folder" not in run(*words, "--follow-links").err


@pytest.mark.parametrize("command", ["train", "fine-tune"])
def test_no_more_threads_than_a_system_has(run, stack, tmp_path, command):
    words = (command, stack, "--output", tmp_path / "m.safetensors", "--threads", "99999999999")
    assert "--threads" in run(*words).sentence


def test_missing_chunks_are_told_by_every_command(run, tmp_path, volume):
    import zarr

    path = tmp_path / "in.zarr"
    zarr.create_array(path, data=volume, chunks=(1, 24, 32))
    (path / "c/3/0/0").unlink()
    told = run("triplets", f"{path}~1", tmp_path / "triplets", "--size", "32")
    assert "lacks 1 of its 28 chunks" in told.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_to_itself_is_no_input(run, tmp_path, volume, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("other.tif", volume)
    (tmp_path / "in.zarr").symlink_to("in.zarr")
    words = ["in.zarr" if word == "{}" else word for word in COMMANDS[command]]
    assert "does not exist" in run(*words).sentence
