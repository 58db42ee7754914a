"""The report of an inspection: one HTML file that shows each find between its neighbours.

Pictures are read and drawn here; the page is in ``page.html.jinja``.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import binary_erosion

from napari_ssan.html_page import render
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.stack.sections import SliceStack, Window

#: Most finds that are shown with pictures; the table lists all.
SHOWN = 60
#: Smallest side of what is shown of a region, and largest side of a picture, in pixels.
SMALLEST, LARGEST = 128, 320
#: Colour of outlines.
OUTLINE = (255, 140, 0)


def to_html(found: Inspection, stack: SliceStack, name: str) -> str:
    """Write a report.

    Parameters
    ----------
    found : Inspection
        What was found.
    stack : SliceStack
        The stack at full resolution, from which pictures are read.
    name : str
        Its name, for the title.

    Returns
    -------
    str
        A page that needs no other file, no network and no script.
    """
    return render(
        "napari_ssan.inspection",
        "page.html.jinja",
        name=name,
        found=found,
        entries=[each.entry() for each in found.finds],
        scenes=[_scene(each, stack) for each in found.finds[:SHOWN]],
    )


def _scene(find: Find, stack: SliceStack) -> dict[str, Any]:
    """Pictures of a find and of the slices beside it, on one grey scale."""
    window = _around(find, stack.shape[1:])
    step = max(1, -(-max(part.stop - part.start for part in window) // LARGEST))
    rows, columns = (slice(part.start, part.stop, step) for part in window)
    places = [z for z in (find.z - 1, find.z, find.z + 1) if 0 <= z < len(stack)]
    pixels = {z: np.nan_to_num(stack.read(z, (rows, columns)).astype(np.float64)) for z in places}
    low, high = np.percentile(np.stack(list(pixels.values())), (0.5, 99.5))
    pictures = []
    for z, values in pixels.items():
        unit = ((values - low) / ((high - low) or 1.0)).clip(0, 1)
        grey = np.repeat((255 * unit).round().astype(np.uint8)[..., None], 3, axis=2)
        if z == find.z and find.region is not None:
            mask = np.zeros(stack.shape[1:], bool)
            mask[find.region.window] = find.region.mask
            seen = mask[rows, columns]
            grey[seen & ~binary_erosion(seen, border_value=0)] = OUTLINE
        words = f"slice {z}" if z == find.z else f"slice {z}, {'before' if z < find.z else 'after'}"
        pictures.append({"words": words, "data": _png(grey)})
    return {"entry": find.entry(), "pictures": pictures}


def _around(find: Find, shape: tuple[int, int]) -> Window:
    """The part of a section that is shown: all of it, or a region with its surroundings."""
    if find.region is None:
        return slice(0, shape[0]), slice(0, shape[1])
    spans = []
    for part, length in zip(find.region.window, shape, strict=True):
        half = max(SMALLEST, 2 * (part.stop - part.start)) // 2
        middle = (part.start + part.stop) // 2
        low = max(0, min(middle - half, length - 2 * half))
        spans.append(slice(low, min(low + 2 * half, length)))
    return spans[0], spans[1]


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    """Encode a picture as a PNG data URL."""
    file = io.BytesIO()
    Image.fromarray(pixels).quantize(128).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
