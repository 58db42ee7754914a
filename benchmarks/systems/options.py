"""Options that all tables have, and where their data lie."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from napari_ssan.engine.methods import METHODS
from napari_ssan.errors import BadInput
from napari_ssan.losses.vgg_weights import find_weights
from napari_ssan.network.ssan import SSANConfig, preset
from napari_ssan.training.config import TrainingConfig
from systems.kernel_estimation import TAPS

#: In the folder that the environment names: what is trained on and judged on.
TRAIN = ("data/vnc_stack2_raw.tif", "data/isbi2012_test_volume.tif")
TEST = ("data/isbi2012_train_volume.tif",)
LABELS = "data/isbi2012_train_labels.tif"
VGG = "weights/vgg16_ssd300_features_to_conv3_3_fp32.safetensors"
FOLDER = "NAPARI_SSAN_DATA"
#: The U-Net halves the features' resolution so often.
HALVINGS = 3
#: Weights of the style and the feature term with which the tables were measured; they
#: belong to torchvision's VGG16.
WEIGHTS = {"style": 1e4, "feature": 0.03}


def parser(description: str, systems: tuple[str, ...], minutes: float) -> argparse.ArgumentParser:
    """Options of a table.

    Parameters
    ----------
    description : str
        What it is; the first line is shown.
    systems : tuple of str
        What is trained unless other names are given.
    minutes : float
        Budget of each, unless another one is given.
    """
    made = argparse.ArgumentParser(description=description.split("\n")[0])
    add = made.add_argument
    add("--train", nargs="+", metavar="STACK", help=f"default: {', '.join(TRAIN)} of ${FOLDER}")
    add("--test", nargs="+", metavar="STACK", help=f"default: {', '.join(TEST)} of ${FOLDER}")
    add("--sections", type=int, default=6, help="judged sections of each stack, evenly spread")
    add("--systems", nargs="+", default=list(systems), help="NAME or NAME-LOSS, such as DAIN-L_1")
    add("--baselines", nargs="*", default=["copy", "average", "tvl1"], choices=METHODS[1:])
    budget = made.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=minutes, help="of training, each system")
    budget.add_argument("--steps", type=int, help="instead of minutes")
    add("--loss", default="L_s", choices=("L_1", "L_f", "L_s"), help="where a name has none")
    add("--vgg", type=Path, help=f"weights of VGG16; default: {VGG} of ${FOLDER}")
    add("--preset", default="half", choices=("half", "paper"), help="size of the network")
    add("--network", type=json.loads, default={}, help="changes to the preset, as JSON")
    add("--taps", type=int, default=TAPS, help="of estimated kernels, along each axis")
    add("--crop", type=int, default=128, help="training crops, in pixels")
    add("--batch", type=int, default=4, help="triplets a step")
    add("--seed", type=int, default=0)
    add("--device", default="cpu")
    add("--threads", type=int, default=1)
    add("--models", type=Path, help="folder where trained systems are kept and found again")
    add("--json", type=Path, metavar="FILE", help="write the result there")
    return made


def in_folder(given: list[str] | None, usual: tuple[str, ...], option: str) -> list[str]:
    """Paths that were given, or those in the folder that the environment names.

    Raises
    ------
    BadInput
        If neither is there.
    """
    if given:
        return given
    if FOLDER not in os.environ:
        raise BadInput(f"Give {option}, or set {FOLDER} to the folder that holds {usual[0]}.")
    return [str(Path(os.environ[FOLDER]) / name) for name in usual]


def vgg_file(options: argparse.Namespace) -> Path | None:
    """Weights of VGG16 that are there; None if there are none."""
    usual = Path(os.environ.get(FOLDER, "")) / VGG
    return find_weights(options.vgg or (usual if usual.is_file() else None))


def configure(options: argparse.Namespace) -> tuple[SSANConfig, TrainingConfig]:
    """What the systems have in common, and how they are trained.

    The heads are those of the paper's network, which correct and do not
    displace; "displaced" is a system of its own.

    Raises
    ------
    BadInput
        If the options do not fit.
    """
    base = preset(options.preset).model_copy(update={"warp": "residual"})
    budget: dict[str, Any] = {"minutes": options.minutes}
    if options.steps is not None:
        budget = {"steps": options.steps}
    try:
        network = SSANConfig.model_validate(base.model_dump() | options.network)
        training = TrainingConfig.model_validate(
            budget
            | {
                "loss": WEIGHTS,
                "crop": options.crop,
                "batch": options.batch,
                "seed": options.seed,
                # The last network counts, for all alike: none is chosen by its validation.
                "validate_every": 1.0,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    multiple = math.lcm(network.multiple, 2**HALVINGS * network.scale)
    if options.crop % multiple:
        raise BadInput(f"--crop must be a multiple of {multiple}.")
    torch.set_num_threads(options.threads)
    return network, training
