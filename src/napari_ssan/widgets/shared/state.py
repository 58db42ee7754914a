"""What both docks show, in words: the header, devices, times. Knows neither Qt nor napari.

What only one dock shows is in its own ``state.py``.
"""

import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EMPTY = "Open a stack, or try the sample."
WAITING = "Waiting for other work to finish…"


@dataclass(frozen=True)
class Question:
    """Something that waits for the user: a sentence and two answers."""

    text: str
    yes: str
    no: str


@dataclass(frozen=True)
class HeaderState:
    """What the header of a dock shows."""

    #: Entries of the list of stacks, which one is chosen (-1: none), and its properties.
    layers: tuple[str, ...] = ()
    chosen: int = -1
    info: str = ""
    #: Why the dock cannot work with this stack, and what to do; empty if it can.
    refusal: str = ""
    offer_sample: bool = False
    question: Question | None = None


def time_text(seconds: float | None) -> str:
    """Round a time to seconds or minutes; empty if it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


@cache
def has_nvidia() -> bool:
    """Whether there is an NVIDIA driver. This is quick and needs no torch."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def device_choices() -> list[tuple[str, str]]:
    """Label and name of each device that this computer may have."""
    if has_nvidia() or sys.platform == "darwin":
        return [("GPU", "auto"), ("CPU only", "cpu")]
    return [("CPU", "auto")]
