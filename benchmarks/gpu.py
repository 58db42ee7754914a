"""All that needs a GPU, in one command of under three minutes: speed, Table 2, and the tests.

``python benchmarks/gpu.py --json`` repairs sections from array to array, with their time and the
most memory that torch held; measures Table 2 of the paper on the device; and runs the tests
marked ``cuda``. Each part is printed as soon as it is there, one JSON object a line, so that a run
that is cut off leaves what it has. Without a GPU it does the same on the CPU, with small sections.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speed import three_sections

import napari_ssan
from napari_ssan.engine.methods import make_method
from napari_ssan.engine.repair import patches
from napari_ssan.engine.repaired import Patch
from napari_ssan.network.device import device_name
from napari_ssan.stack.marks import Marks
from napari_ssan.stack.sections import SliceStack

HERE = Path(__file__).parent
#: Sides of the sections, with and without a GPU, and of Table 2's maps.
SIDES = {"cuda": (1024, 4096, 16384), "cpu": (256, 512)}
MAPS = {"cuda": 512, "cpu": 64}


def repair(side: int, model: str, device: torch.device) -> dict[str, Any]:
    """Repair the middle one of three sections, twice; the second time counts."""
    stack, method = SliceStack(three_sections(side)), make_method("ssan", model, str(device))
    seconds, repaired = 0.0, None
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(2):
        begin = time.perf_counter()
        *_, repaired = (x for x in patches(stack, Marks({1}), method) if isinstance(x, Patch))
        seconds = time.perf_counter() - begin
    assert isinstance(repaired, Patch)
    assert np.ptp(repaired.pixels[:64, :64]) > 0
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {
        "model": model,
        "side": side,
        "seconds": seconds,
        "seconds_per_megapixel": seconds / side**2 * 2**20,
        "peak_gb": None if peak is None else peak / 2**30,
        "batch": method.batch,
    }


def run(*command: str) -> str:
    """What a command prints last; an error ends this one, too."""
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", help="default: CUDA if it is there, else the CPU")
    parser.add_argument("--models", nargs="+", default=["ssan-fidelity", "ssan-realistic"])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    there = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(options.device or there)

    def show(name: str, result: Any) -> None:
        print(json.dumps({name: result}) if options.json else f"{name}: {result}", flush=True)

    show("device", device_name(device))
    show("versions", {"napari-ssan": napari_ssan.__version__, "torch": torch.__version__})
    for side in SIDES[device.type]:
        for model in options.models:
            show("repair", repair(side, model, device))
    size = str(MAPS[device.type])
    table = run(
        str(HERE / "attention.py"), "--device", str(device), "--size", size, "--repeats", "3",
        "--json",
    )  # fmt: skip
    show("table 2", json.loads(table))
    # Only the files that have such tests: to collect all of them takes a minute.
    found = (HERE.parent / "tests").rglob("test_*.py")
    files = [str(path) for path in found if "mark.cuda" in path.read_text(encoding="utf-8")]
    tests = run("-m", "pytest", "-q", "-m", "cuda", "--no-header", *files)
    show("tests", tests.splitlines()[-1])


if __name__ == "__main__":
    main()
