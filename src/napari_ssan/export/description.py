"""The description of a bioimage.io package: the content of its ``rdf.yaml``.

It names files that :mod:`~napari_ssan.export.bioimageio` writes beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_ssan.network.model_file import Model
from napari_ssan.network.model_library import PACKED
from napari_ssan.stack.intensity import SPAN

CITE = [
    {
        "text": "Wang et al. (2021): Sparse self-attention aggregation networks for neural "
        "sequence slice interpolation. BioData Mining 14:10",
        "doi": "10.1186/s13040-021-00236-z",
    }
]
TAGS = [
    "electron-microscopy",
    "image-restoration",
    "2d",
    "tissue",
    "brain",
    "pytorch",
    "slice-interpolation",
    "serial-section",
    "napari-ssan",
]
#: Authors of the bundled models.
DEVELOPERS = "The napari-ssan developers"


def describe_package(
    model: Model, authors: Sequence[str], terms: str | dict[str, Any] | None
) -> dict[str, Any]:
    """Write the content of a package's ``rdf.yaml``.

    Parameters
    ----------
    model : Model
    authors : sequence of str
        Authors of the model; for a bundled model the default is its authors.
    terms : str, dict or None
        An SPDX identifier, a reference to the file with the terms, or None.
    """
    import torch
    from bioimageio.spec.model.v0_5 import ModelDescr

    info = model.info
    known = [DEVELOPERS] if info.bundled else []
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_+- ()") else "-" for c in info.name)
    return {
        "type": "model",
        "format_version": ModelDescr.implemented_format_version,
        "name": f"EM section interpolation {name}"[:64],
        "description": (info.card.get("summary") or "Synthesizes a lost section of a stack.")[:512],
        "authors": [{"name": each} for each in authors or known],
        "cite": CITE,
        "license": terms,
        "tags": TAGS,
        "documentation": {"source": "README.md"},
        "covers": [{"source": "cover.png"}],
        "attachments": [{"source": PACKED}],
        "inputs": [_input(model, "previous"), _input(model, "following")],
        "outputs": [_output()],
        "weights": {
            "torchscript": {
                "source": "weights.pt",
                "pytorch_version": torch.__version__.split("+")[0],
            }
        },
        "config": {
            "bioimageio": {
                "architecture_type": "SSAN",
                "modality": "electron microscopy",
                "task": "image restoration",
                "model_parameter_count": sum(p.numel() for p in model.network.parameters()),
            },
            "napari_ssan": {"sha256": info.sha256, "config": info.config, "card": info.card},
        },
    }


def _input(model: Model, name: str) -> dict[str, Any]:
    free = {"min": model.tile, "step": model.network.config.multiple}
    # The second neighbour must have the size of the first.
    sizes = {
        axis: free if name == "previous" else {"tensor_id": "previous", "axis_id": axis}
        for axis in ("y", "x")
    }
    text = f"The {name} section, grey, with values of any range."
    return _tensor(name, text, sizes) | {
        "preprocessing": [
            {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}},
            {"id": "scale_linear", "kwargs": {"gain": 1 / SPAN, "offset": 0.5}},
        ],
    }


def _output() -> dict[str, Any]:
    # No halo: the format would enlarge only one input, but both must have the same size.
    sizes = {axis: {"tensor_id": "previous", "axis_id": axis} for axis in ("y", "x")}
    text = (
        "The section between the two inputs, in standard deviations from the mean; "
        "see the documentation."
    )
    return _tensor("section", text, sizes) | {
        "postprocessing": [{"id": "scale_linear", "kwargs": {"gain": SPAN, "offset": -0.5 * SPAN}}],
    }


def _tensor(name: str, text: str, sizes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": name,
        "description": text,
        "axes": [
            {"type": "batch", "size": 1},  # a recorded network takes exactly one pair at a time
            {"type": "channel", "id": "channel", "channel_names": ["grey"]},
            *({"type": "space", "id": axis, "size": size} for axis, size in sizes.items()),
        ],
        "data": {"type": "float32"},
        "test_tensor": {"source": f"{name}.npy"},
        "sample_tensor": {"source": f"{name}.png"},
    }
