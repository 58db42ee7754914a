"""What the dock "Repair slice" shows, in words. Knows neither Qt nor napari.

The view renders a `DockState`; the presenter makes it. Estimates of time are for one slice.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from napari_ssan.engine.methods import TILING
from napari_ssan.inspection.find import Find
from napari_ssan.session.marks import Row
from napari_ssan.widgets.shared.state import HeaderState, has_nvidia, time_text

#: Seconds per megapixel of the network on a common CPU, until it has been measured.
SECONDS_PER_MEGAPIXEL = 4.0
#: Slices that a test on good slices hides at most, and how much of them it looks at.
TRIALS, TRIAL_SIDE = 3, 1024


@dataclass(frozen=True)
class ModelChoice:
    """An entry of the list of models."""

    label: str
    tooltip: str
    #: As for :func:`napari_ssan.repair`.
    method: str
    model: str = ""
    #: Licence of the weights.
    terms: str = ""
    #: Loss that it was trained with.
    loss: str = ""
    #: What must not be taken for real in its results.
    caution: str = ""
    #: Per cent from faithful to natural texture, of the bundled models and those between them.
    natural: int | None = None


@dataclass(frozen=True)
class How:
    """What the dock repairs with; the names are those of :func:`napari_ssan.repair`."""

    method: str
    model: str
    device: str
    views: int | None = None


@dataclass(frozen=True)
class DockState(HeaderState):
    """All that the view shows. Rendering it twice changes nothing."""

    #: Why slices cannot be marked in the present view.
    hint: str = ""
    #: Section of the original that is on screen, and whether it is marked as a whole.
    section: int | None = None
    whole: bool = False
    #: Whether slices and regions can be marked, and a gap after the section.
    can_mark: bool = False
    can_insert: bool = False
    #: Whether the lasso is in use.
    drawing: bool = False
    #: The marks, and how many of them Repair would repair.
    rows: tuple[Row, ...] = ()
    pending: int = 0
    #: What is suggested, the most certain first, and the one that is shown.
    suggestions: tuple[Find, ...] = ()
    suggestion: Find | None = None
    #: How many were rejected, whether the stack was inspected, and what could not be judged.
    rejected: int = 0
    inspected: bool = False
    cannot_tell: tuple[str, ...] = ()
    #: Number of sections of the original, and what is at those that are marked or suggested.
    count: int = 0
    ticks: Mapping[int, str] = field(default_factory=dict)
    #: What was done last to the marks, and undone last; empty if there is nothing.
    undo: str = ""
    redo: str = ""
    #: What is being done, and the progress; if `total` is 0 the bar only moves.
    busy: str = ""
    done: int = 0
    total: int = 0
    #: Whether there is anything for a repaired layer to show, and whether the original is shown.
    has_result: bool = False
    showing_before: bool = False
    #: Whether anything is synthetic, here or in the file already.
    has_synthetic: bool = False
    #: Whether synthetic pixels are tinted, and whether the expected error is shown.
    overlay: bool = False
    error_map: bool = False
    #: Expected error of the slice on screen, in a sentence; empty if all of it is real.
    expected_error: str = ""
    #: Results of the slice on screen, (name, label) each, and the name of the chosen one.
    results: tuple[tuple[str, str], ...] = ()
    result: str = ""
    #: How many slices are repaired, and how many of them the user has accepted.
    repaired: int = 0
    accepted: int = 0
    #: Grey values at which the colours of the expected error end.
    error_end: float = 0.0
    #: What a test on good slices does, and about how long it takes.
    outlook_cost: str = ""
    #: Whether the slice on screen can be accepted, or reverted.
    accept: bool = False
    revert: bool = False
    #: Whether there is a result, and no work is running.
    can_export: bool = False
    #: Whether the stack is a volume that can be changed in place, and whether it was.
    is_volume: bool = False
    restorable: bool = False
    #: Where the network runs, and about how long it takes.
    device: str = ""


def sections_of(entry: Row | Find) -> tuple[int, ...]:
    """Sections of what a row of the table stands for."""
    return (entry.z,) if isinstance(entry, Find) else tuple(mark[0] for mark in entry.marks)


def slices_text(row: Row | Find) -> str:
    """Slice numbers of a row of the table."""
    if isinstance(row, Find):
        return f"after {row.z}" if row.gap else str(row.z)
    first, last = row.marks[0][0], row.marks[-1][0]
    if row.kind == "missing":
        return f"after {first}"
    return str(first) if first == last else f"{first}–{last}"


def places_text(row: Row) -> str:
    """Where the sections of a row lie on the slider while the repaired stack is shown."""
    if len(row.places) < 2:
        return "".join(map(str, row.places))
    return f"{row.places[0]}–{row.places[-1]}"


def what_text(row: Row | Find) -> str:
    """Kind and size of the marks of a row, or kind of what is suggested."""
    if isinstance(row, Find):
        return f"{row.gap} missing" if row.gap else row.kind
    if row.kind == "missing":
        return f"{row.count} missing"
    then = ", correct" if row.treatment == "correct" else ""
    if row.kind == "whole" and row.regions:
        return "correct + region" if row.regions == 1 else f"correct + {row.regions} regions"
    if row.kind == "whole":
        return f"whole{then}"
    share = f"{100 * row.share:.1f} %" if row.share >= 0.001 else "< 0.1 %"
    which = "region" if row.count == 1 else f"{row.count} regions"
    return f"{which} {share}{then}"


def state_text(row: Row) -> str:
    """What became of the marks of a row: *corrected* if no pixel of them is synthetic."""
    corrected = row.state == "synthesized" and row.treatment == "correct" and not row.regions
    return "corrected" if corrected else row.state


def suggestion_text(find: Find, place: int, count: int) -> str:
    """What is suggested, and how certain it is."""
    where = f"after slice {find.z}" if find.gap else f"slice {find.z}"
    scope = "" if find.gap else ", a region" if find.region is not None else ", the whole slice"
    what = what_text(find)
    return f"Suggestion {place} of {count}: {where}, {what}{scope}, {100 * find.p:.0f} % certain"


def repair_text(pending: int, busy: bool) -> str:
    """Label of the Repair button."""
    what = {0: "", 1: " 1 mark"}.get(pending, f" {pending} marks")
    return f"Queue{what or ' marks'}" if busy else f"Repair{what}"


def accepted_text(accepted: int, repaired: int) -> str:
    """Say how much is accepted, and what that is for; empty if nothing is repaired."""
    if not repaired:
        return ""
    if accepted == repaired:
        return "All repaired slices are accepted."
    return (
        f"{accepted} of {slices_count(repaired)} accepted. Accept what you have looked at. "
        "An export asks what to do with the others."
    )


def unaccepted_text(accepted: int, repaired: int) -> str:
    """Ask what to do with repairs that are not accepted."""
    left = repaired - accepted
    return (
        f"{left} of {slices_count(repaired)} {'is' if left == 1 else 'are'} not accepted yet. "
        f"Export {'it' if left == 1 else 'them'}, too?"
    )


def slices_count(repaired: int) -> str:
    """Number of repaired slices in words."""
    return "1 repaired slice" if repaired == 1 else f"{repaired} repaired slices"


def keyed(text: str, key: str | None) -> str:
    """Add the key that does the same to a label."""
    return f"{text} ({key})" if key else text


def device_text(
    how: How, shape: tuple[int, int], per_megapixel: float | None, pixels: int = 0
) -> str:
    """Say where a repair will run, as far as is known without torch, and about how long.

    `pixels` are those of the tiles of all that is marked; without any, a slice is spoken of.
    """
    if how.method != "ssan":
        return "Runs on the CPU; needs no model."
    if how.device == "cpu":
        where, slow = "Runs on the CPU, as chosen", True
    elif sys.platform == "darwin":
        where, slow = "Runs on the Apple GPU, or the CPU", True
    elif has_nvidia():
        where, slow = "Runs on the GPU", False
    else:
        where, slow = "Runs on the CPU: no CUDA GPU", True
    if per_megapixel is None and not slow:
        return where
    size = (how.views or 1) * pixels / 1e6 or slice_megapixels(how, shape)
    time = time_text((per_megapixel or SECONDS_PER_MEGAPIXEL) * size)
    return f"{where} · ~{time} {'for what is marked' if pixels else 'per slice'}"


def outlook_text(how: How, shape: tuple[int, int], per_megapixel: float | None) -> str:
    """Say what a test on good slices does, and about how long it takes if that is known."""
    what = f"Hides up to {TRIALS} good slices nearby, one at a time, and repairs them."
    if how.method != "ssan" or (per_megapixel is None and has_nvidia() and how.device != "cpu"):
        return what
    height, width = (min(length, TRIAL_SIDE) for length in shape)
    one = slice_megapixels(replace(how, views=None), (height, width))
    seconds = TRIALS * one * (per_megapixel or SECONDS_PER_MEGAPIXEL)
    return f"{what} Takes about {time_text(seconds)}."


def slice_megapixels(how: How, shape: tuple[int, int]) -> float:
    """Megapixels of all tiles of a section, in all views."""
    whole = slice(0, shape[0]), slice(0, shape[1])
    return (how.views or 1) * TILING.grid(shape, whole).pixels / 1e6
