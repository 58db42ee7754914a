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

from napari_ssan.errors import BadInput, NotAStack

if TYPE_CHECKING:
    from napari_ssan.files import StackFile
    from napari_ssan.files.calibration import Calibration
    from napari_ssan.files.lazy import LazyArray
    from napari_ssan.stack.sections import SliceStack

#: What the names of files end in that may be opened, as in ``napari.yaml``.
ENDINGS = (".tif", ".tiff", ".zarr", ".h5", ".hdf", ".hdf5", ".mrc", ".rec", ".st", ".n5")

LayerData = tuple[Any, dict[str, Any], str]

#: Where a layer's metadata hold what this plugin knows about it.
METADATA = "napari_ssan"
#: Contrast limits are taken from the middle of so many sections, of this height and width.
SECTIONS, SAMPLE = 7, 1024
#: Specks that are darker or lighter than nearly all pixels do not count.
PERCENTILES = (0.1, 99.9)


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a TIFF, zarr, HDF5, MRC or N5 file that holds a stack of grey sections.

    Addresses on a network are left to others.

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
    if not _may_be_ours(path):
        return None
    try:
        file = open_stack(path)
    except LeadsOut as error:
        return partial(_refuse, str(error))
    except BadInput:
        return None
    return lambda _path: _layers(file)


def pass_on(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader that leaves to napari's own what `get_reader` does not open.

    napari asks only the readers of the plugin that the user has chosen, once or for all files
    with this ending. So what is no stack must be passed on by the plugin itself.

    Parameters
    ----------
    path : str or sequence of str
        One file, or several that are to be stacked.

    Returns
    -------
    callable or None
        None for what `get_reader` opens. For a file that cannot be read, a function that refuses
        it in a sentence.
    """
    from napari_ssan.files import open_stack

    paths = [path] if isinstance(path, str) else list(path)
    if get_reader(path) is not None:
        return None
    if len(paths) == 1 and _may_be_ours(paths[0]):
        try:
            open_stack(paths[0])
        except NotAStack:
            pass
        except BadInput as error:
            return partial(_refuse, str(error))
    return partial(_read_by_napari, paths, not isinstance(path, str))


def _read_by_napari(paths: list[str], stack: bool, _path: object) -> list[LayerData]:
    import npe2

    layers: list[Any] = npe2.read(paths, stack=stack, plugin_name="napari")
    return layers


def _may_be_ours(path: str) -> bool:
    return "://" not in path and Path(path).suffix.lower() in ENDINGS


def _refuse(sentence: str, _path: str) -> list[LayerData]:
    """Refuse a file that no other reader should be tried on."""
    raise BadInput(sentence)


def _layers(file: StackFile) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    for note in file.notes:
        show_warning(note)
    return [layer_data(file), *synthetic_layers(file)]


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
        **_place(calibration),
        "contrast_limits": calibration.display_range or contrast_limits(file.stack()),
        "multiscale": multiscale,
        "rgb": False,
        "metadata": {
            METADATA: {
                **_origin(file),
                "provenance": provenance.model_dump(mode="json") if provenance else None,
            }
        },
    }
    return (_pyramid(file) if multiscale else file.data), meta, "image"


def _pyramid(file: StackFile) -> list[LazyArray]:
    """Levels, of which a viewer reads no more than it shows."""
    from napari_ssan.files.lazy import LazyArray

    levels = [
        level if isinstance(level, LazyArray) else LazyArray(level, file.path.name)
        for level in file.levels
    ]
    for level in levels:
        level.peels = True
    return levels


def synthetic_layers(file: StackFile) -> list[LayerData]:
    """Return a tint over what a stack's own record calls synthetic; nothing if it has no record.

    The dock Repair slice knows this layer by its metadata, and takes it over.
    """
    from napari.utils import Colormap

    from napari_ssan.engine.provenance import recorded_marks
    from napari_ssan.engine.repaired import TINT, RepairedStack, SyntheticPixels
    from napari_ssan.stack.lazy import Every, sampling

    stack = file.stack()
    marks = recorded_marks(file.provenance, stack.shape)
    if not marks:
        return []
    meta = {
        "name": f"{file.calibration.name} [synthetic pixels]",
        **_place(file.calibration),
        **TINT,
        "colormap": Colormap(TINT["colormap"], name="synthetic"),
        "metadata": {METADATA: {"made_for": str(file.path), "shows": "synthetic", **_origin(file)}},
    }
    full = SyntheticPixels(RepairedStack(stack), marks)
    coarse = [Every(full, *each) for each in sampling([level.shape for level in file.levels], full)]
    full.peels = bool(coarse)
    for level in coarse:
        level.peels = True
    meta["multiscale"] = bool(coarse)
    return [([full, *coarse] if coarse else full, meta, "image")]


def _place(calibration: Calibration) -> dict[str, Any]:
    return {
        "scale": calibration.scale,
        "translate": calibration.translate,
        "units": tuple(unit or "pixel" for unit in calibration.units),
        "axis_labels": axis_labels(calibration.named_axes),
    }


def _origin(file: StackFile) -> dict[str, Any]:
    return {"path": str(file.path), "files": [str(one) for one in file.files]}


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
