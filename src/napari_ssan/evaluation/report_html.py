"""The report of an evaluation: one HTML file with pictures, to read, print and share.

Tables and pictures are prepared here; the page is in ``report.html.jinja``, and the sentences
are in :mod:`~napari_ssan.evaluation.summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_ssan.evaluation.measures import BANDS, GROUPS, best_of, measured
from napari_ssan.evaluation.result import NETWORK, Result
from napari_ssan.evaluation.summary import summarize, words
from napari_ssan.html_page import render, to_png
from napari_ssan.stack.pictures import grey_limits, to_grey
from napari_ssan.stack.sections import Array

#: Most slices to show.
SHOWN = 3
#: Colours of error maps: black, red, yellow, white.
RAMP = np.array([[0, 0, 0], [200, 0, 0], [255, 200, 0], [255, 255, 255]], np.float64)
#: How many of them a picture has.
COLOURS = 64
#: Measures that are listed slice by slice.
LISTED = ("psnr", "ssim", "hf_ratio", "dice")

Picture = npt.NDArray[np.uint8]


def to_html(result: Result, crops: Mapping[int, Mapping[str, Array]]) -> str:
    """Write a report.

    Parameters
    ----------
    result : dict
        From :func:`~napari_ssan.evaluation.result.to_result`.
    crops : mapping of int to mapping of str to ndarray
        For each slice, its pictures; see :class:`~napari_ssan.evaluation.evaluate.Evaluation`.

    Returns
    -------
    str
        A page that needs no other file, no network and no script.
    """
    return render(
        "napari_ssan.evaluation",
        "report.html.jinja",
        result=result,
        sentences=summarize(result),
        tables=[_table(result, group) for group in GROUPS],
        against=_against(result),
        by_slice=_by_slice(result),
        scenes=[_scene(z, crops[z], result) for z in shown(result)],
        words=words,
    )


def shown(result: Result) -> list[int]:
    """Slices to show: where the network is worst, typical and best, compared with averaging."""
    slices, methods = result["slices"], result["methods"]
    others = [name for name in methods if name != NETWORK]
    if NETWORK in methods and others:
        rival = "average" if "average" in others else others[0]
        gains = [
            a["psnr"] - b["psnr"]
            for a, b in zip(methods[NETWORK]["per_slice"], methods[rival]["per_slice"], strict=True)
        ]
        slices = [slices[n] for n in np.argsort(gains, kind="stable")]
    places = np.unique(np.linspace(0, len(slices) - 1, SHOWN).round().astype(int))
    return [slices[n] for n in places]


def _table(result: Result, group: str) -> dict[str, Any]:
    """Rows of a group of measures as text, with the best values marked."""
    methods = result["methods"]
    measures = measured(result, group)
    best = [best_of(m, [row[m.key] for row in methods.values()]) for m in measures]
    rows = []
    for place, (name, row) in enumerate(methods.items()):
        cells = []
        for measure, winners in zip(measures, best, strict=True):
            ends = row["intervals"][measure.key]
            span = "" if ends is None else " to ".join(measure.show(end) for end in ends)
            cells.append(_cell(measure.show(row[measure.key]), span, place in winners))
        if group == "style":
            text = "  ".join("–" if band is None else f"{band:.2f}" for band in row[BANDS])
            cells.append(_cell(text))
        rows.append({"name": words(name), "network": name == NETWORK, "cells": cells})
    if group == "use" and result["real"]["dice"] is not None:
        cells = [_cell(measure.show(result["real"][measure.key])) for measure in measures]
        rows.append({"name": "the real slices", "network": False, "cells": cells})
    heads = [(measure.label, measure.meaning) for measure in measures]
    if group == "style":
        heads.append(
            ("power in four bands", "divided by that of the real slice, from coarse to fine")
        )
    return {"title": GROUPS[group], "heads": heads, "rows": rows, "empty": not measures}


def _cell(text: str, span: str = "", best: bool = False) -> dict[str, Any]:
    return {"text": text, "span": span, "best": best}


def _against(result: Result) -> dict[str, Any]:
    """Differences of the network and every other method, with intervals."""
    measures = [*measured(result, "fidelity"), *measured(result, "use")]
    rows = []
    for name, row in result["methods"].items():
        if row["difference"] is None:
            continue
        cells = []
        for measure in measures:
            found = row["difference"][measure.key]
            if found is None:
                cells.append({"text": "–", "span": "", "better": ""})
                continue
            ends = found["interval"]
            span = "" if ends is None else " to ".join(_signed(end, measure.digits) for end in ends)
            cells.append(
                {
                    "text": _signed(found["mean"], measure.digits),
                    "span": span,
                    "better": f"better in {found['better']} of {found['of']}",
                }
            )
        rows.append({"name": words(name), "cells": cells})
    return {"heads": [(m.label, m.meaning) for m in measures], "rows": rows}


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"


def _by_slice(result: Result) -> list[dict[str, Any]]:
    """Some figures of every slice, for each method."""
    methods = result["methods"]
    tables = []
    for measure in (m for group in GROUPS for m in measured(result, group) if m.key in LISTED):
        columns = [[row[measure.key] for row in each["per_slice"]] for each in methods.values()]
        rows = [
            (z, [measure.show(column[n]) for column in columns])
            for n, z in enumerate(result["slices"])
        ]
        heads = [words(name) for name in methods]
        tables.append({"title": measure.label, "heads": heads, "rows": rows})
    return tables


def _scene(z: int, crops: Mapping[str, Array], result: Result) -> dict[str, Any]:
    """Pictures of a slice: real ones, and the synthesized slice and its error for each method."""
    real = crops["real"].astype(np.float64)
    errors = {name: np.abs(crops[name].astype(np.float64) - real) for name in result["methods"]}
    worst = float(np.percentile(np.stack(list(errors.values())), 99.5)) or 1.0
    limits = grey_limits([real])
    number = result["slices"].index(z)

    def grey(name: str) -> str:
        return to_png(to_grey(crops[name], limits))

    made = []
    for name, row in result["methods"].items():
        figures = row["per_slice"][number]
        caption = f"PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f}"
        made.append(
            {"name": words(name), "caption": caption, "picture": grey(name),
             "error": to_png(paint(errors[name] / worst), COLOURS)}
        )  # fmt: skip
    around = [("the slice before", "before"), (f"the real slice {z}", "real"),
              ("the slice after", "after")]  # fmt: skip
    return {
        "section": z,
        "height": real.shape[0],
        "width": real.shape[1],
        "around": [{"name": label, "picture": grey(name)} for label, name in around],
        "made": made,
        "worst": f"{worst:.3g}",
    }


def paint(unit: npt.NDArray[np.float64]) -> Picture:
    """Colour values from 0 to 1: returns (height, width, 3)."""
    places = np.linspace(0, 1, len(RAMP))
    channels = [np.interp(unit, places, RAMP[:, n]) for n in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
