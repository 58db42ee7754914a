"""Files that the commands read which learn and judge, and how these commands are called.

A case of these kinds has, beside the damaged file, the whole ones that the command needs:
a stack ``stack.tif`` and a model ``base.safetensors``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

Write = Callable[[Path], Path]

#: Sections, height and width: enough to learn from.
LONG = (14, 64, 64)
#: Of each VGG16 convolution the channels in and out; the first two blocks.
CHANNELS = {0: (3, 4), 2: (4, 4), 5: (4, 6), 7: (6, 6)}
CONFIG = """\
crop = 32
batch = 1
learning_rate = 1e-4
schedule = "cosine"
views = 1
summary = "for tests"
[loss]
preset = "L_1"
scales = [1]
[augmentation]
noise = 0.1
"""


def tissue() -> np.ndarray[Any, Any]:
    """Blobs that go on from section to section."""
    random = np.random.default_rng(1)
    blobs = gaussian_filter(random.standard_normal(LONG), (1.5, 3, 3))
    grain = random.normal(0, 6, LONG)
    made: np.ndarray[Any, Any] = (128 + 40 * blobs / blobs.std() + grain).clip(1, 254)
    return made.astype(np.uint8)


def beside(folder: Path) -> None:
    """Write the whole files that a command needs."""
    import torch

    from napari_ssan.network.model_file import save_model
    from napari_ssan.network.ssan import SSAN, SSANConfig

    tifffile.imwrite(folder / "stack.tif", tissue(), photometric="minisblack")
    torch.manual_seed(0)
    network = SSAN(SSANConfig(features=8, blocks=1, layers=1, growth=8, attention=(2, 2)))
    save_model(folder / "base.safetensors", network, {"tile": 64, "terms": "none"})
    (folder / "run.toml").write_text(CONFIG)


def long_stack(ending: str) -> Write:
    """Write a stack that is long enough to learn from."""

    def write(folder: Path) -> Path:
        beside(folder)
        path = folder / f"in{ending}"
        if ending == ".zarr":
            zarr.create_array(path, data=tissue(), chunks=(1, 32, 32))
        elif ending == ".h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("volumes/raw", data=tissue(), chunks=(1, 32, 64))
        else:
            tifffile.imwrite(path, tissue(), photometric="minisblack", compression="deflate")
        return path

    return write


def config(folder: Path) -> Path:
    """Write a configuration file."""
    beside(folder)
    return (folder / "run.toml").rename(folder / "in.toml")


def vgg(folder: Path) -> Path:
    """Write weights of VGG16 with few channels."""
    import torch
    from safetensors.torch import save_file

    beside(folder)
    made = {}
    for number, (before, after) in CHANNELS.items():
        torch.manual_seed(number)
        made[f"features.{number}.weight"] = torch.randn(after, before, 3, 3) / 6
        made[f"features.{number}.bias"] = torch.zeros(after)
    save_file(made, folder / "in.safetensors")
    return folder / "in.safetensors"


def interrupted(kind: str, made: str) -> Write:
    """Write what a training leaves that is stopped at its first checkpoint."""

    def write(folder: Path) -> Path:
        from napari_ssan.cli import main
        from napari_ssan.errors import Cancelled
        from napari_ssan.training.events import Checkpointed

        def stop(event: object, show: object) -> None:
            if isinstance(event, Checkpointed):
                raise Cancelled

        beside(folder)
        command, _ = arguments(kind, folder / made, Random(0))
        module = import_module(f"napari_ssan.cli.{command[0].replace('-', '_')}")
        name = "tell" if kind == "checkpoint" else "_tell"
        with (
            patch.object(sys, "argv", ["napari-ssan", *(w for w in command if w != "--resume")]),
            patch.object(module, name, stop),
            contextlib.chdir(folder),
            contextlib.suppress(SystemExit),
        ):
            main()
        (folder / made).with_suffix(".training.csv").unlink(missing_ok=True)
        return folder / made

    return write


def arguments(kind: str, path: Path, random: Random) -> tuple[list[str], Path | None]:
    """Command line for a damaged file, and what it writes."""
    folder = path.parent
    # a run knows its base by the words that named it, so it is named within the folder
    stack, base = str(folder / "stack.tif"), "base.safetensors"
    short = ["--steps", "1", "--device", "cpu", "--threads", "1"]
    small = ["--base", base, *short]
    output = folder / ("in.safetensors" if kind in ("checkpoint", "run") else "out.safetensors")
    train = ["train", stack, "--output", str(output), *small]
    tune = ["fine-tune", stack, "--output", str(output), "--model", base, *short]
    usual = ["--config", str(folder / "run.toml")]
    judge = ["--methods", "copy,average", "--slices", "3,6", "--json", str(folder / "out.json")]
    if kind == "evaluate":
        return ["evaluate", str(path), *judge], folder / "out.json"
    if kind == "vgg" and random.random() < 0.5:
        return ["evaluate", stack, "--vgg", str(path), *judge], folder / "out.json"
    if kind == "triplets":
        return ["triplets", str(path), str(folder / "out"), "--size", "32"], folder / "out"
    if kind == "fine-tune":
        return ["fine-tune", str(path), *tune[2:]], output
    if kind == "run":
        return [*tune, "--resume"], output
    if kind == "checkpoint":
        return [*train, *usual, "--resume"], output
    if kind == "config":
        return [*train, "--config", str(path)], output
    if kind == "vgg":
        return [*train, *usual, "--loss", random.choice(("L_f", "L_s")), "--vgg", str(path)], output
    return ["train", str(path), *train[2:], *usual], output


def check(made: Path) -> None:
    """Check that what a command has written can be used; raises if it cannot."""
    import json

    from napari_ssan.network.model_file import load_model

    if made.suffix == ".safetensors":
        load_model(made)
    else:
        text = (made / "triplets.json" if made.is_dir() else made).read_text()
        json.loads(text, parse_constant=lambda name: 1 / 0)


LEARNING: dict[str, Write] = {
    "train": long_stack(".tif"),
    "fine-tune": long_stack(".zarr"),
    "evaluate": long_stack(".h5"),
    "triplets": long_stack(".zarr"),
    "config": config,
    "vgg": vgg,
    "checkpoint": interrupted("checkpoint", "in.checkpoint"),
    "run": interrupted("run", "in.run"),
}
