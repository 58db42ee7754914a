"""The sentences that say why something was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ssan.inspection.judge import AROUND
from napari_ssan.inspection.neighbours import Traits
from napari_ssan.inspection.regions import Candidate

#: Of regions, by kind; a cloud is a broad contamination.
REGIONS = {
    "contamination": "A spot is darker than in both neighbours, which agree with each other",
    "cloud": "A broad patch is darker than in both neighbours, which agree with each other",
    "fold": "A long narrow band is darker than in both neighbours",
    "hole": "A spot is lighter than in both neighbours, which agree with each other",
    "crack": "A long narrow band is lighter than in both neighbours",
    "charging": "A patch is brighter than in both neighbours, but its structure can be seen",
    "blur": "A patch is less sharp than in both neighbours",
    "missing": "A margin is constant where both neighbours have an image",
}


def region_reason(kind: str, candidate: Candidate) -> str:
    """Say why a region was found."""
    seen = candidate.structured and kind != "charging"
    more = "; its structure agrees with theirs" if seen else ""
    return f"{REGIONS['cloud' if candidate.sign == 'dark broad' else kind]}{more}."


def slice_reason(figure: str, stack: Sequence[Traits], own: Traits) -> str:
    """Say why a whole section was found, by the figure that tells it."""
    near = [
        each for each in stack[max(0, own.z - AROUND) : own.z + AROUND + 1]
        if each.z != own.z and not each.flaw
    ]  # fmt: skip
    if figure == "level":
        usual = float(np.median([each.level for each in near]))
        word = "darker" if own.level < usual else "brighter"
        return f"It is {word} than the slices around it: {own.level:.4g} against {usual:.4g}."
    if figure == "contrast":
        usual = float(np.median([each.contrast for each in near]))
        word = "less" if own.contrast < usual else "more"
        return f"It has {word} contrast than usual here: {own.contrast / usual:.0%} of it."
    if figure == "shaded":
        return "It is shaded unlike both neighbours: darker in one part, or lighter in another."
    if figure == "negative":
        return f"It is a negative of both neighbours: correlation {max(own.before, own.after):.2f}."
    if figure == "turned":
        return f"It is turned against both neighbours by about {abs(own.turned):.0f} degrees."
    if figure == "displaced":
        return "It is shifted against both neighbours, which lie on each other."
    if figure == "discontinuity":
        return (
            "It is unlike both neighbours, which resemble each other: correlation "
            f"{max(own.before, own.after):.2f} against {own.across:.2f}."
        )
    return {
        "blur": "It is less sharp than the slices around it.",
        "stripes": "Stripes run across all of it.",
        "specks": "Specks are strewn all over it.",
        "noise": "It has more noise than the slices around it.",
        "duplicate": f"It is a copy of slice {own.z - 1}.",
    }[figure]


def lost_reason(z: int, count: int, likeness: float, usual: float) -> str:
    """Say why sections seem to be lost after section z."""
    many = "a slice seems" if count == 1 else f"about {count} slices seem"
    return (
        f"It resembles slice {z + 1} less than neighbours usually do, so {many} to be lost "
        f"between them: correlation {likeness:.2f} against {usual:.2f}."
    )
