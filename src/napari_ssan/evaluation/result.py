"""The result of an evaluation as plain data, for the JSON file and the report.

Its layout is public and described in ``docs/reference/report.md``. It says slices, not sections,
since users read it.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from napari_ssan.evaluation.evaluate import Evaluation
from napari_ssan.evaluation.measures import BANDS, MEASURES, Measure
from napari_ssan.evaluation.statistics import block_means, interval, mean
from napari_ssan.metrics.texture import BANDS as NUMBER_OF_BANDS

#: Version of the JSON's layout.
FORMAT = 1
#: Name of the network's row.
NETWORK = "ssan"
PACKAGES = ("napari-ssan", "torch", "numpy", "scipy", "scikit-image")

Result = dict[str, Any]


def to_result(evaluation: Evaluation, settings: dict[str, Any], seed: int) -> Result:
    """Compute means, intervals and differences of all methods.

    Parameters
    ----------
    evaluation : Evaluation
    settings : dict
        Settings of the evaluation; copied unchanged.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        JSON-serializable; finite numbers and None. Described in ``docs/reference/report.md``.
    """
    ours = evaluation.rows.get(NETWORK)
    methods = {
        name: _row(rows, None if name == NETWORK else ours, evaluation.gap, seed)
        for name, rows in evaluation.rows.items()
    }
    # Without labels, a real section is its own truth, so its scores would say nothing.
    known = settings.get("labels") is not None
    return {
        "format": FORMAT,
        "methods": methods,
        "real": {
            key: mean([row[key] for row in evaluation.real]) if known else None
            for key in ("dice", "f1")
        },
        "slices": evaluation.sections,
        "settings": settings,
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
    }


def _row(
    rows: list[dict[str, Any]], ours: list[dict[str, Any]] | None, gap: int, seed: int
) -> dict[str, Any]:
    """Means of a method, their intervals, and the network's difference from it."""

    def column(key: str) -> list[float | None]:
        return [row[key] for row in rows]

    figures: dict[str, Any] = {measure.key: mean(column(measure.key)) for measure in MEASURES}
    figures[BANDS] = [
        mean([row[BANDS][number] for row in rows]) for number in range(NUMBER_OF_BANDS)
    ]
    figures["seconds"] = mean(column("seconds"))
    figures["intervals"] = {
        measure.key: _interval(column(measure.key), gap, seed) for measure in MEASURES
    }
    figures["difference"] = None
    if ours is not None:
        figures["difference"] = {
            measure.key: _difference(ours, rows, measure, gap, seed) for measure in MEASURES
        }
    figures["per_slice"] = [
        {"slice" if k == "section" else k: v for k, v in row.items()} for row in rows
    ]
    return figures


def _difference(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], measure: Measure, gap: int, seed: int
) -> dict[str, Any] | None:
    """Mean of the network's values minus those of another method, section by section."""
    pairs = [(a[measure.key], b[measure.key]) for a, b in zip(ours, theirs, strict=True)]
    differences = [None if a is None or b is None else a - b for a, b in pairs]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not known:
        return None
    return {
        "mean": mean(differences),
        "interval": _interval(differences, gap, seed),
        "better": sum(measure.worse(a) < measure.worse(b) for a, b in known),
        "of": len(known),
    }


def _interval(values: Sequence[float | None], gap: int, seed: int) -> list[float] | None:
    """Bootstrap interval of the mean; sections hidden together count as one observation."""
    found = interval(block_means(values, gap), seed)
    return None if found is None else list(found)
