"""What the dock "Repair slice" shows, in words. Knows neither Qt nor napari."""

import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from napari_ssan.engine.methods import OVERLAP
from napari_ssan.engine.tiles import TileGrid
from napari_ssan.session.marks import Row

#: How long the network takes for a tile of so many pixels on a common CPU, before it is known.
SECONDS_PER_MEGAPIXEL = 5.0


@dataclass(frozen=True)
class ModelChoice:
    """An entry of the list of models.

    Attributes
    ----------
    label, tooltip : str
        In plain words, and in the paper's.
    method, model : str
        As for :func:`napari_ssan.repair`.
    tile : int
        Size of its tiles, in pixels; 0 for those that have no weights.
    views : int
        Mirrored and turned views of each that it averages over.
    terms : str
        Under which terms the weights may be used.
    """

    label: str
    tooltip: str
    method: str
    model: str = ""
    tile: int = 0
    terms: str = ""
    views: int = 1


@dataclass(frozen=True)
class Question:
    """Something that waits for the user: a sentence and two answers."""

    text: str
    yes: str
    no: str


@dataclass(frozen=True)
class HeaderState:
    """What the head of a dock needs.

    Attributes
    ----------
    layers, chosen, info : tuple of str, int, str
        Entries of the list of stacks, which one (-1: none), and what is said about it.
    refusal : str
        Why nothing can be done with it, and what to do; empty if something can.
    offer_sample : bool
        Whether to offer the sample data.
    question : Question or None
        What is asked.
    """

    layers: tuple[str, ...] = ()
    chosen: int = -1
    info: str = ""
    refusal: str = ""
    offer_sample: bool = False
    question: Question | None = None


@dataclass(frozen=True)
class DockState(HeaderState):
    """All that the view needs beside its head; rendering it twice changes nothing.

    Attributes
    ----------
    hint : str
        Why slices cannot be marked in the present view.
    section : int or None
        Section of the original that is on screen.
    whole, can_mark, can_draw, drawing, can_insert : bool
        Whether it is marked as a whole; what can be pressed.
    rows : tuple of Row
        The marks.
    pending : int
        How many of them a press on Repair would take up.
    busy : str
        What is going on; empty if nothing is.
    done, total : int
        Progress; a total of 0 is a bar that only moves.
    has_result, showing_before, overlay, error_map : bool
        Whether there is a repaired layer; whether the original is on screen;
        what is shown over the result.
    confidence : str
        How far the slice on screen can be trusted; empty if all of it is real.
    accept, revert : bool
        Whether the slice on screen can be.
    can_export : bool
        Whether there is anything to export and nothing going on.
    device : str
        Where the network runs, and about how long it takes.
    """

    hint: str = ""
    section: int | None = None
    whole: bool = False
    can_mark: bool = False
    can_draw: bool = False
    can_insert: bool = False
    drawing: bool = False
    rows: tuple[Row, ...] = ()
    pending: int = 0
    busy: str = ""
    done: int = 0
    total: int = 0
    has_result: bool = False
    showing_before: bool = False
    overlay: bool = False
    error_map: bool = False
    expected_error: str = ""
    accept: bool = False
    revert: bool = False
    can_export: bool = False
    device: str = ""


def slices_text(row: Row) -> str:
    """Which slices a row is about."""
    first, last = row.marks[0][0], row.marks[-1][0]
    if row.kind == "missing":
        return f"after {first}"
    return str(first) if first == last else f"{first}–{last}"


def what_text(row: Row) -> str:
    """Say what is marked."""
    if row.kind == "whole":
        return "whole"
    if row.kind == "missing":
        return f"{row.count} missing"
    share = f"{100 * row.share:.1f} %" if row.share >= 0.001 else "< 0.1 %"
    return f"region {share}" if row.count == 1 else f"{row.count} regions {share}"


def repair_text(pending: int, busy: bool) -> str:
    """Label of the Repair button."""
    what = {0: "", 1: " 1 mark"}.get(pending, f" {pending} marks")
    return f"Queue{what or ' marks'}" if busy else f"Repair{what}"


def keyed(text: str, key: str | None) -> str:
    """Add to a label the key that does the same."""
    return f"{text} ({key})" if key else text


def time_text(seconds: float | None) -> str:
    """Say a time roughly, as one does."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def device_text(
    choice: ModelChoice, device: str, shape: tuple[int, int], per_megapixel: float | None
) -> str:
    """Where a model will run, as far as can be told without torch, and about how long."""
    if choice.method != "ssan":
        return "Runs on the CPU; needs no model."
    if device == "cpu":
        where, slow = "Runs on the CPU, as chosen", True
    elif sys.platform == "darwin":
        where, slow = "Runs on the Apple GPU, or the CPU", True
    elif has_nvidia():
        where, slow = "Runs on the GPU", False
    else:
        where, slow = "Runs on CPU: no CUDA GPU", True
    if per_megapixel is None and not slow:
        return where
    seconds = (per_megapixel or SECONDS_PER_MEGAPIXEL) * slice_megapixels(choice, shape)
    return f"{where} · ~{time_text(seconds)} a slice"


def slice_megapixels(choice: ModelChoice, shape: tuple[int, int]) -> float:
    """Pixels of all tiles of a section, overlaps and views counted."""
    return tile_megapixels(choice) * len(
        TileGrid(shape, choice.tile, min(OVERLAP, choice.tile // 2))
    )


def tile_megapixels(choice: ModelChoice) -> float:
    """Pixels of a tile, in all its views."""
    return choice.views * max(choice.tile, 1) ** 2 / 1e6


@cache
def has_nvidia() -> bool:
    """Whether there is an NVIDIA driver; cheap, and needs no torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def device_choices() -> list[tuple[str, str]]:
    """Label and name of each device that there may be."""
    if has_nvidia() or sys.platform == "darwin":
        return [("GPU", "auto"), ("CPU only", "cpu")]
    return [("CPU", "auto")]
