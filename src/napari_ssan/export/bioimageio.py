"""Writes a model as a package for bioimage.io, the model zoo that several programs read.

The package holds the network as a TorchScript, two test sections with the network's output,
and the pre- and postprocessing of grey values. Its description and its page are written in
:mod:`~napari_ssan.export.description` and :mod:`~napari_ssan.export.model_page`.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_ssan.engine.methods import network_tiling
from napari_ssan.errors import BadInput
from napari_ssan.export.description import describe_package
from napari_ssan.export.model_page import licence, page
from napari_ssan.network.model_file import Model, load_model
from napari_ssan.network.model_library import PACKED
from napari_ssan.network.writing import changing, new_file
from napari_ssan.stack.intensity import SPAN, Float, measure
from napari_ssan.stack.phantom import phantom
from napari_ssan.stack.sections import Array, SliceStack, middle

#: Height and width of the generated sections; they are mirrored to fill a larger tile.
GENERATED = 256
#: Height and width of each picture on the cover, which must stay below 500 kB.
PANEL = 384

Pair = tuple[Array, Array]


def export_bioimageio(
    name_or_path: str | Path,
    path: str | Path,
    sample: Pair | None = None,
    authors: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write a model as a package that bioimageio.spec accepts as valid.

    Parameters
    ----------
    name_or_path : str or Path
    path : str or Path
        A ``.zip`` in a folder that exists.
    sample : (ndarray, ndarray), optional
        Two sections of the same shape, at least a tile high and wide, with one section
        left out between them. Their middles go into the package, for its test and cover.
        The default takes two sections of a generated stack.
    authors : sequence of str
        Authors of the model; for a bundled model the default is its authors.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    BadInput
        If bioimageio.spec is not installed, the model cannot be loaded, the sample shows
        nothing, or the file cannot be written.
    """
    spec = _spec()
    model = load_model(name_or_path)
    with (
        new_file(path, ".zip", overwrite) as temporary,
        changing("The package could not be made"),
        # bioimageio.spec does not close the files that it reads; the garbage collector does.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        warnings.catch_warnings(action="ignore", category=ResourceWarning),
    ):
        folder = Path(scratch)
        _write_files(model, folder, _run(model, sample or generated_sample(model.tile)))
        content = describe_package(model, authors, _licence(model, folder))
        # Warnings stay in the validation summary; all sources are files in the folder.
        context = spec.ValidationContext(root=folder, log_warnings=False)
        described = spec.build_description(content, context=context)
        if isinstance(described, spec.InvalidDescr):
            raise BadInput(f"bioimage.io does not accept this model: {described.get_reason()}.")
        with context:
            spec.save_bioimageio_package(described, output_path=temporary)


def generated_sample(tile: int) -> Pair:
    """Take two sections of a generated stack, with one left out between them, a tile or larger."""
    clean = phantom((20, GENERATED, GENERATED)).clean
    more = max(0, tile - GENERATED)
    first, second = (np.pad(clean[z], (0, more), mode="symmetric") for z in (8, 10))
    return first, second


def _spec() -> Any:
    try:
        import bioimageio.spec
    except ImportError:
        raise BadInput(
            "The export to bioimage.io needs the package bioimageio.spec; install it with "
            'pip install "napari-ssan[bioimageio]".'
        ) from None
    return bioimageio.spec


class _Example(NamedTuple):
    """Input and output of the network: tensors (1, 1, tile, tile) and 8-bit pictures, by name."""

    tensors: dict[str, Float]
    pictures: dict[str, npt.NDArray[np.uint8]]


def _run(model: Model, sample: Pair) -> _Example:
    import torch

    previous, following = (_middle(section, model.tile) for section in sample)
    stack = SliceStack(np.stack([previous, following]))
    scales = [measure(stack, z) for z in (0, 1)]
    if not all(scale.usable for scale in scales):
        raise BadInput(
            "A sample section is constant or has values that are not finite; "
            "give sections that show tissue."
        )
    unit = [scale.normalize(stack.read(z))[None, None] for z, scale in enumerate(scales)]
    with torch.no_grad():
        made: Float = model.network(*map(torch.from_numpy, unit)).image.numpy()
    tensors = {
        "previous": previous[None, None].astype(np.float32),
        "following": following[None, None].astype(np.float32),
        "section": SPAN * (made - np.float32(0.5)),
    }
    views = {"previous": unit[0], "following": unit[1], "section": made}
    pictures = {
        name: np.rint(255 * view[0, 0].clip(0, 1)).astype(np.uint8) for name, view in views.items()
    }
    return _Example(tensors, pictures)


def _middle(section: Array, tile: int) -> Array:
    if section.ndim != 2 or min(section.shape) < tile:
        raise BadInput(f"A sample section must be at least {tile} pixels high and wide.")
    return section[middle(section.shape, tile)]


def _write_files(model: Model, folder: Path, example: _Example) -> None:
    from napari_ssan.export.torchscript import to_torchscript

    for name, tensor in example.tensors.items():
        np.save(folder / f"{name}.npy", tensor)
    for name, picture in example.pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    both = np.hstack([example.pictures["previous"], example.pictures["section"]])
    Image.fromarray(both).resize((2 * PANEL, PANEL)).save(folder / "cover.png", optimize=True)
    (folder / "weights.pt").write_bytes(to_torchscript(model.network))
    copyfile(model.info.path, folder / PACKED)
    tiling = network_tiling(model.network.config.multiple, model.tile)  # same as in a repair
    (folder / "README.md").write_text(page(model.info, tiling), encoding="utf-8")


def _licence(model: Model, folder: Path) -> str | dict[str, Any] | None:
    """The licence: an SPDX identifier; else a file with the terms; None if there are none."""
    from bioimageio.spec.generic.v0_3 import LicenseId

    def is_known(word: str) -> bool:
        try:
            LicenseId(word)
        except ValueError:
            return False
        return True

    terms = str(model.info.card.get("terms", ""))
    if found := licence(terms, is_known):
        return found
    if not terms:
        return None
    (folder / "TERMS.md").write_text(terms + "\n", encoding="utf-8")
    return {"source": "TERMS.md"}
