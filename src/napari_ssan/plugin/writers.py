"""The napari writers: save an image layer section by section, with voxel size and provenance.

The file formats are written in :mod:`napari_ssan.files`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_ssan.errors import BadInput


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save an image layer as `.tif`, `.ome.tif`, `.ome.zarr`, `.zarr` or `.mrc`.

    Parameters
    ----------
    path : str
        The file to write.
    data : RepairedStack, array-like, or sequence of array-like
        The layer's data, read section by section. Of a pyramid, only the full
        resolution is read; zarr stores get a new pyramid.
    meta : dict
        The layer's state: scale, translate, units, axis labels, name, metadata.

    Returns
    -------
    list of str
        Paths of the written files.

    Raises
    ------
    BadInput
        If the layer is in colour, or the file cannot be written.
    """
    from napari_ssan.files import check_output, save_stack
    from napari_ssan.files.layer_calibration import file_record, layer_calibration
    from napari_ssan.stack.lazy import Guarded

    if meta.get("rgb"):
        raise BadInput("This layer is in colour (RGB); convert it to grey, or save it as .png.")
    # The attribute alone does not tell: napari's pyramids also have a dtype.
    if meta.get("multiscale") or not hasattr(data, "dtype"):
        data = data[0]
    if isinstance(data, Guarded):
        data = data.volume
    # napari has asked whether a file that exists may be replaced, but not the one that is shown
    ours = file_record(meta)
    check_output(path, ours.get("files") or ours.get("path"), overwrite=True)
    written = save_stack(Path(path), data, layer_calibration(data, meta), overwrite=True)
    return [str(one) for one in written]
