"""Fidelity and style of the network and of the baselines on held-out sections.

``python benchmarks/validation.py STACK [--model NAME|PATH]`` hides every
section of a stack in turn (or those of ``--slices``), synthesizes it by each
method, and prints the means as a table, or with ``--json`` as one object.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from napari_ssan.engine.methods import METHODS, make_method
from napari_ssan.evaluation.leave_one_out import leave_one_out
from napari_ssan.files import open_stack
from napari_ssan.stack.defects import parse_slices


def main(
    stack: Path,
    model: str = "ssan-fidelity",
    methods: str = ",".join(METHODS[::-1]),
    slices: Annotated[
        str, typer.Option(help="As in 82-97; all but the first and last if empty.")
    ] = "",
    device: str = "auto",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Judge all methods on the sections of STACK."""
    source = open_stack(stack).stack()
    sections = parse_slices(slices) or list(range(1, len(source) - 1))
    result = {}
    for name in methods.split(","):
        method = make_method(name, model, device, lambda event: None)
        begin = time.perf_counter()
        rows = list(leave_one_out(source, sections, method))
        seconds = (time.perf_counter() - begin) / len(rows)
        means = {
            key: np.mean([row[key] for row in rows], axis=0).tolist()
            for key in rows[0]
            if key != "section"
        }
        result[name] = means | {"seconds": seconds, "slices": rows}
    if as_json:
        print(json.dumps(result))
        return
    heads = ("method", "PSNR (dB)", "SSIM", "IE", "low-pass PSNR (dB)", "hf", "bands", "s a slice")
    table = Table(*heads, title=f"{stack.name}, {len(sections)} slices")
    for name, row in result.items():
        table.add_row(
            name,
            f"{row['psnr']:.2f}",
            f"{row['ssim']:.3f}",
            f"{row['ie']:.2f}",
            f"{row['psnr_lowpass']:.2f}",
            f"{row['hf_ratio']:.2f}",
            " ".join(f"{band:.2f}" for band in row["bands"]),
            f"{row['seconds']:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
