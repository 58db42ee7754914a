"""The napari reader: opens stacks lazily, with voxel size and provenance.

The file formats are read in :mod:`napari_ssan.files`; this turns their stacks into layers.
For a file that it does not know, a reader returns None and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ssan.errors import BadInput

if TYPE_CHECKING:
    from napari_ssan.files import StackFile
    from napari_ssan.stack.sections import SliceStack

#: What the names of files end in that may be opened, as in ``napari.yaml``.
ENDINGS = (".tif", ".tiff", ".zarr", ".h5", ".hdf", ".hdf5", ".mrc", ".rec", ".st")

LayerData = tuple[Any, dict[str, Any], str]

#: Contrast limits are taken from the middle of so many sections, of this height and width.
SECTIONS, SAMPLE = 7, 1024
#: Specks that are darker or lighter than nearly all pixels do not count.
PERCENTILES = (0.1, 99.9)


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a TIFF, zarr, HDF5 or MRC file that holds a stack of grey sections.

    Parameters
    ----------
    path : str or sequence of str
        The file; a sequence must hold exactly one.

    Returns
    -------
    callable or None
        None for all other files; napari then tries its other readers. For a stack that takes
        pixels from outside its folder, a function that refuses it.
    """
    from napari_ssan.files import open_stack
    from napari_ssan.files.border import LeadsOut

    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    if Path(path).suffix.lower() not in ENDINGS:
        return None
    try:
        file = open_stack(path)
    except LeadsOut as error:
        return partial(_refuse, str(error))
    except BadInput:
        return None
    return lambda _path: _layers(file)


def _refuse(sentence: str, _path: str) -> list[LayerData]:
    """Refuse a file that no other reader should be tried on."""
    raise BadInput(sentence)


def _layers(file: StackFile) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    for note in file.notes:
        show_warning(note)
    return [layer_data(file)]


def layer_data(file: StackFile) -> LayerData:
    """Return a stack as layer data for napari.

    A pyramid in an OME-Zarr becomes a multiscale layer. Everything else becomes one
    array that is read section by section.
    """
    calibration = file.calibration
    multiscale = len(file.levels) > 1
    provenance = file.provenance
    meta: dict[str, Any] = {
        "name": calibration.name,
        "scale": calibration.scale,
        "translate": calibration.translate,
        "units": tuple(unit or "pixel" for unit in calibration.units),
        "axis_labels": axis_labels(calibration.named_axes),
        "contrast_limits": calibration.display_range or contrast_limits(file.stack()),
        "multiscale": multiscale,
        "rgb": False,
        "metadata": {
            "napari_ssan": {
                "path": str(file.path),
                "files": [str(one) for one in file.files],
                "provenance": provenance.model_dump(mode="json") if provenance else None,
            }
        },
    }
    return (list(file.levels) if multiscale else file.data), meta, "image"


def axis_labels(axes: str) -> tuple[str, ...]:
    """Label axes uniquely, as napari requires: an axis name that repeats gets its number."""
    return tuple(axis if axes.count(axis) == 1 else f"{axis}{at}" for at, axis in enumerate(axes))


def contrast_limits(stack: SliceStack) -> tuple[float, float]:
    """Limits that suit most sections, although some may be blank or have specks.

    The ends are percentiles, over several sections that are not constant. If there is none,
    they are those of the dtype; 0 and 1 for floats.
    """
    _, height, width = stack.shape
    rows, columns = (slice(max(0, (n - SAMPLE) // 2), (n + SAMPLE) // 2) for n in (height, width))
    spread = np.linspace(0, len(stack) - 1, SECTIONS + 2)[1:-1].astype(int)
    ends = []
    for z in np.unique(spread):
        section = stack.read(int(z), (rows, columns))
        finite = section[np.isfinite(section)].astype(np.float64)
        if finite.size and np.ptp(finite):
            low, high = np.percentile(finite, PERCENTILES)
            ends.append((low, high) if low < high else (finite.min(), finite.max()))
    if ends:
        lows, highs = zip(*ends, strict=True)
        return float(min(lows)), float(max(highs))
    if stack.dtype.kind == "f":
        return 0.0, 1.0
    whole = np.iinfo(stack.dtype)
    return float(whole.min), float(whole.max)
