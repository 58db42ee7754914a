"""A model card as text: for a tooltip, a terminal, or the page of an exported model.

Reading the card is :mod:`~napari_ssan.network.model_file`'s task. Cards are open: an entry
that is unknown here is shown too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from napari_ssan.network.model_file import ModelInfo

#: Labels of known entries, in the order in which they are shown.
_LABELS = {
    "terms": "Terms",
    "verdict": "Verdict",
    "metrics": "Metrics",
    "trained_on": "Trained on",
    "validated_on": "Validated on",
    "base": "Started from",
    "loss": "Loss",
    "match": "Grey values fitted by",
    "tile": "Tile (pixels)",
    "training": "Training",
    "curve": "Curve ends at",
    "version": "Written by napari-ssan",
}


def card_text(info: ModelInfo) -> str:
    """Write a model card as text: name, summary, and one item for each entry.

    Entries that this version does not know are shown too; empty ones are left out.
    Only the last point of a training curve is shown.

    Parameters
    ----------
    info : ModelInfo

    Returns
    -------
    str
        Plain text that is also valid Markdown.
    """
    card = dict(info.card)
    card.pop("views", None)  # of older versions; how many views to average is up to a repair
    lines = [info.name, ""]
    if summary := card.pop("summary", ""):
        lines += [str(summary), ""]
    if card.get("curve"):
        card["curve"] = _last_point(card["curve"])
    order = [*_LABELS, *(key for key in card if key not in _LABELS)]
    for key in order:
        if said := _words(card.get(key)):
            lines.append(f"- {_LABELS.get(key, key.replace('_', ' ').capitalize())}: {said}")
    lines.append(f"- SHA-256: {info.sha256}")
    return "\n".join(lines)


def _words(value: Any) -> str:
    """Write a JSON value as text; empty if there is nothing to say."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        parts = []
        for key, part in value.items():
            if text := _words(part):
                inner = f"({text})" if isinstance(part, dict | list) else text
                parts.append(f"{key.replace('_', ' ')} {inner}")
        return ", ".join(parts)
    if isinstance(value, list):
        joint = "; then " if any(isinstance(part, dict) for part in value) else ", "
        said = (" ".join(map(_words, p)) if isinstance(p, list) else _words(p) for p in value)
        counted = Counter(filter(None, said))
        return joint.join(f"{n} × {text}" if n > 1 else text for text, n in counted.items())
    return " ".join(str(value).split())


def _last_point(curve: Any) -> Any:
    """Last point of a curve, or of the last stage if it has several."""
    while isinstance(curve, list) and curve:
        curve = curve[-1]
    return curve
