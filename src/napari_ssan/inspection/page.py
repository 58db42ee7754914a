"""The report of an inspection: one HTML file that shows each find between its neighbours.

Pictures are read and drawn here; the page is in ``page.html.jinja``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_ssan.html_page import render, to_png
from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.stack.pictures import framed, grey_limits, outlined, to_grey
from napari_ssan.stack.sections import SliceStack

#: Most finds that are shown with pictures; the table lists all.
SHOWN = 60
#: How many colours a picture has.
COLOURS = 128


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
        entries=[(each.entry(), each) for each in found.finds],
        scenes=[_scene(each, stack) for each in found.finds[:SHOWN]],
    )


def _scene(find: Find, stack: SliceStack) -> dict[str, Any]:
    """Pictures of a find and of the slices beside it, on one grey scale."""
    shape = stack.shape[1:]
    window = framed(shape, None if find.region is None else find.region.window)
    places = [z for z in (find.z - 1, find.z, find.z + 1) if 0 <= z < len(stack)]
    pixels = {z: stack.read(z, window) for z in places}
    limits = grey_limits(pixels.values())
    pictures = []
    for z, values in pixels.items():
        part = None
        if z == find.z and find.region is not None:
            mask = np.zeros(shape, bool)
            mask[find.region.window] = find.region.mask
            part = mask[window]
        picture = outlined(to_grey(values, limits), part)
        words = f"slice {z}" if z == find.z else f"slice {z}, {'before' if z < find.z else 'after'}"
        pictures.append({"words": words, "data": to_png(picture, COLOURS)})
    return {"find": find, "pictures": pictures}
