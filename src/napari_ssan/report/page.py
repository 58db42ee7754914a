"""The report of a repair: one HTML file that shows each repaired part before and after.

What is said and drawn is prepared here; the page is in ``page.html.jinja``. Easy to get wrong:
the page is made piece by piece, and the pictures of one part are read when its turn comes, so
that neither the stack nor all pictures are ever held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.engine.expected_error import COURSE, STRUCTURES, coloured, scale_end, too_far
from napari_ssan.engine.provenance import Provenance, SyntheticSection, percent
from napari_ssan.engine.repaired import Patch, RepairedStack, Slot
from napari_ssan.engine.side_by_side import Beside, beside
from napari_ssan.html_page import pieces, to_png
from napari_ssan.stack.pictures import framed, outlined, to_grey
from napari_ssan.stack.sections import Window
from napari_ssan.version import __version__

#: How many colours a picture has.
COLOURS = 128

Picture = npt.NDArray[np.uint8]


def to_html(
    repaired: RepairedStack,
    name: str,
    accepted: Mapping[Slot, bool] | None = None,
    earlier: Provenance | None = None,
) -> Iterator[str]:
    """Write a report, piece by piece; joined, they are a page that needs no other file.

    Parameters
    ----------
    repaired : RepairedStack
        The repaired stack.
    name : str
        Of the stack, for the title.
    accepted : mapping of (int, int) to bool, optional
        Which sections the user has accepted; None if nobody was asked.
    earlier : Provenance, optional
        What was synthetic when the file was opened.

    Yields
    ------
    str

    Raises
    ------
    OSError
        If the stack cannot be read.
    """
    patches = [patch for slot in repaired.slots for patch in repaired.patches(slot)]
    end = scale_end(repaired)
    place = {slot: number for number, slot in enumerate(repaired.slots)}
    longer = len(repaired.slots) > len(repaired.stack)
    rows = [_row(patch, place if longer else None, accepted) for patch in patches]
    shown = {patch.slot for patch in patches}
    weights = {(patch.record.model, patch.record.model_sha256) for patch in patches}
    return pieces(
        "napari_ssan.report",
        "page.html.jinja",
        name=name,
        version=__version__,
        slices=len(repaired.stack),
        rows=rows,
        repaired=len(shown),
        synthetic=any(not patch.record.corrected for patch in patches),
        corrected=any(patch.record.corrected for patch in patches),
        accepted=None if accepted is None else sum(accepted.get(slot, False) for slot in shown),
        earlier=sorted(earlier.numbers) if earlier else [],
        weights=sorted((name, sha) for name, sha in weights if name and sha),
        end=f"{end:g}",
        ramp=_ramp(),
        scenes=(_scene(repaired, *each, end) for each in zip(patches, rows, strict=True)),
    )


def _row(
    patch: Patch, place: Mapping[Slot, int] | None, accepted: Mapping[Slot, bool] | None
) -> dict[str, str]:
    """What there is to say of a patch, in words."""
    record, (z, number) = patch.record, patch.slot
    return {
        "slice": f"{number} of those missing after {z}" if number else str(z),
        "title": f"Missing slice {number} after {z}" if number else f"Slice {z}",
        "now": "" if place is None else str(place[patch.slot]),
        "what": _what(record),
        "from": _origin(record),
        "by": "" if record.corrected else record.maker,
        "made": _origin(record)
        if record.corrected
        else f"from {_origin(record)}, by {record.maker}",
        "error": _error(record),
        "accepted": "" if accepted is None else "yes" if accepted.get(patch.slot) else "not yet",
    }


def _what(record: SyntheticSection) -> str:
    if record.copied is not None:
        return "copied" if record.share == 1 else f"region, {percent(record.share)}, copied"
    what = {"whole": "whole slice", "inserted": "inserted slice"}.get(
        record.kind, f"region, {percent(record.share)}"
    )
    return f"{what}, corrected" if record.corrected else what


def _origin(record: SyntheticSection) -> str:
    origin = " and ".join(map(str, record.origin))
    return f"matched to {origin}" if record.corrected else origin


def _error(record: SyntheticSection) -> str:
    """The expected error, and what it leaves to be trusted."""
    if record.corrected:
        return "none, these are its own pixels"
    if far := too_far([record]):
        return far.removesuffix(".")
    if record.error is None:
        return "unknown"
    share = record.error.mean / record.error.contrast if record.error.contrast else 0.0
    trust = "nothing" if share >= COURSE else "large structures"
    trust = "structures, not fine texture" if share < STRUCTURES else trust
    return f"{record.error.mean:.3g} grey values; trust {trust}"


def _scene(
    repaired: RepairedStack, patch: Patch, row: Mapping[str, str], end: float
) -> dict[str, Any]:
    """Pictures of a patch: its neighbours, before, after, and its expected error."""
    height, width = patch.pixels.shape
    part = None
    if patch.mask is not None:
        part = slice(patch.top, patch.top + height), slice(patch.left, patch.left + width)
    window = framed(repaired.stack.shape[1:], part)
    seen = beside(repaired.stack, repaired.patches(patch.slot), window)
    mask = _mask(patch, repaired.stack.shape[1:], window)

    def grey(words: str, pixels: npt.NDArray[Any]) -> dict[str, str]:
        own = words in ("before", "after")
        picture = outlined(to_grey(pixels, seen.limits), mask if own else None)
        return {"words": words, "data": to_png(picture, COLOURS)}

    pictures = [grey(f"slice {seen.sources[0]}", seen.neighbours[0])]
    if seen.before is not None:
        pictures.append(grey("before", seen.before))
    pictures.append(grey("after", seen.after))
    pictures += [
        grey(f"slice {z}", pixels)
        for z, pixels in zip(seen.sources[1:], seen.neighbours[1:], strict=True)
    ]
    pictures.append({"words": "expected error", "data": to_png(_painted(seen, end), COLOURS)})
    return {"row": row, "pictures": pictures}


def _mask(patch: Patch, shape: tuple[int, int], window: Window) -> npt.NDArray[np.bool_] | None:
    if patch.mask is None:
        return None
    rows, columns = (range(*part.indices(n)) for part, n in zip(window, shape, strict=True))
    inside = np.zeros((len(rows), len(columns)), bool)
    patch.lay(inside, window, patch.mask)
    return inside


def _painted(seen: Beside, end: float) -> Picture:
    """The expected error, over the repaired section."""
    colours = coloured(seen.error, end)
    grey = to_grey(seen.after, seen.limits)[..., None] / 255
    mixed = grey * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:]
    return np.asarray((255 * mixed).round(), np.uint8)


def _ramp() -> str:
    """The colour bar, over mid grey."""
    colours = coloured(np.linspace(0, 1, 240)[None].repeat(12, axis=0), 1.0)
    mixed = 0.5 * (1 - colours[..., 3:]) + colours[..., :3] * colours[..., 3:]
    return to_png(np.asarray((255 * mixed).round(), np.uint8))
