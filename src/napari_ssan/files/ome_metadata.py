"""What an OME-Zarr says of an image: axes, voxel size, position, levels; yaozarrs validates it.

Easy to get wrong: the first pixel of a coarser level does not lie where that of the finest does.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from yaozarrs import v05

from napari_ssan.files.calibration import Calibration
from napari_ssan.json_text import finite

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_ORDER = {"time": 0, "space": 2}


def axis_order(axes: str) -> list[int]:
    """Order of the axes in OME-Zarr: time, then channel and others, then space as it was."""
    return sorted(range(len(axes)), key=lambda at: _ORDER.get(_TYPES.get(axes[at], ""), 1))


def image_metadata(
    calibration: Calibration, order: list[int], levels: int, how: str = "local mean"
) -> v05.Image:
    """OME-Zarr's metadata of an image with axes in an order, and how a level is made of another."""
    names = calibration.axes
    axes = []
    for at in order:
        axis: dict[str, Any] = {"name": names[at]}
        if names[at] in _TYPES:
            axis["type"] = _TYPES[names[at]]
        if calibration.units[at] is not None:
            axis["unit"] = calibration.units[at]
        axes.append(axis)
    datasets = []
    for level in range(levels):
        factor = [2**level if names[at] in "yx" else 1 for at in order]
        scale = [calibration.scale[at] for at in order]
        # the first pixel of a coarser level lies in the middle of those that it averages
        origin = [
            calibration.translate[at] + (f - 1) / 2 * s
            for at, f, s in zip(order, factor, scale, strict=True)
        ]
        steps: list[dict[str, Any]] = [
            {"type": "scale", "scale": [s * f for s, f in zip(scale, factor, strict=True)]}
        ]
        if any(origin):
            steps.append({"type": "translation", "translation": origin})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    multiscale = {
        "name": calibration.name or None,
        "axes": axes,
        "datasets": datasets,
        "type": how,
    }
    content: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if calibration.omero is not None:
        try:
            return v05.Image.model_validate({**content, "omero": finite(calibration.omero)})
        except ValidationError:
            pass  # display settings that are invalid are left out
    return v05.Image.model_validate(content)
