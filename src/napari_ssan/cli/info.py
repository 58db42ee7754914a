"""``napari-ssan info``: what is installed, what it runs on, which models came along."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from napari_ssan import __version__

PACKAGES = ("torch", "numpy", "scikit-image", "tifffile", "zarr", "napari")


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, devices and bundled models."""
    facts = gather()
    if as_json:
        typer.echo(json.dumps(facts))
        return
    table = Table(show_header=False, box=None)
    table.add_row("napari-ssan", facts["version"])
    table.add_row("Python", facts["python"])
    for name, number in facts["packages"].items():
        table.add_row(name, number or "not installed")
    for device in facts["devices"]:
        table.add_row(f"device {device['name']}", device["description"])
    for model in facts["models"]:
        table.add_row(f"model {model['name']}", model["summary"])
        table.add_row("", f"terms: {model['terms']}")
    Console().print(table)


def gather() -> dict[str, Any]:
    """Versions, devices and models; JSON-serializable."""
    import torch

    from napari_ssan.network.device import describe, has_fast_bfloat16
    from napari_ssan.network.model_file import bundled_models

    names = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    devices = [
        {
            "name": name,
            "description": describe(torch.device(name)),
            "bfloat16": has_fast_bfloat16(torch.device(name)),
        }
        for name in names
    ]
    models = [
        {
            "name": model.name,
            "summary": model.card.get("summary", ""),
            "terms": model.card.get("terms", ""),
            "sha256": model.sha256,
            "path": str(model.path),
        }
        for model in bundled_models()
    ]
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": devices,
        "models": models,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
