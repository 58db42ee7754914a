"""``napari-ssan info``: installed versions, devices and models."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from napari_ssan.cli.models import known
from napari_ssan.cli.options import Json
from napari_ssan.json_text import dump_json
from napari_ssan.version import __version__

PACKAGES = ("torch", "numpy", "scikit-image", "tifffile", "zarr", "napari")


def info(as_json: Json = False) -> None:
    """Show installed versions, devices and models."""
    facts = gather()
    if as_json:
        typer.echo(dump_json(facts))
        return
    table = Table(show_header=False, box=None)
    table.add_row("napari-ssan", facts["version"])
    table.add_row("Python", facts["python"])
    for name, number in facts["packages"].items():
        table.add_row(name, number or "not installed")
    for device in facts["devices"]:
        table.add_row(f"device {device['name']}", device["description"])
    for model in facts["models"]:
        table.add_row(Text(f"model {model['name']}"), Text(model["summary"]))
        table.add_row("", Text(f"terms: {model['terms'] or 'not stated'}"))
    Console().print(table)


def gather() -> dict[str, Any]:
    """Return versions, devices and models, JSON-serializable."""
    import torch

    from napari_ssan.network.device import device_name, has_fast_bfloat16

    names = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    devices = [
        {
            "name": name,
            "description": device_name(torch.device(name)),
            "bfloat16": has_fast_bfloat16(torch.device(name)),
        }
        for name in names
    ]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": devices,
        "models": known(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
