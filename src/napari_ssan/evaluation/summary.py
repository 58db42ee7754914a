"""Summarizes the result of an evaluation in plain sentences, for the terminal and the report."""

from __future__ import annotations

from typing import Any

from napari_ssan.evaluation.result import NETWORK, Result

#: Methods in words that fit after "than" or "by".
WORDS = {
    "copy": "copying the nearest slice",
    "average": "averaging",
    "registered": "averaging registered slices",
    "ilk": "optical flow (ILK)",
    "tvl1": "optical flow (TV-L1)",
    NETWORK: "the network",
}
#: Grain within these bounds counts as like that of real slices.
LIKE_REAL = (0.8, 1.25)
#: Fewer slices than this are only a hint.
FEW = 5


def words(method: str) -> str:
    """Name a method in plain words."""
    if method.startswith(f"{NETWORK}:"):
        return f"the model {method.removeprefix(f'{NETWORK}:')}"
    return WORDS[method]


def summarize(result: Result) -> list[str]:
    """Say what the figures mean: first whether the network helps, then cautions.

    Parameters
    ----------
    result : dict
        From :func:`~napari_ssan.evaluation.result.to_result`.
    """
    methods, number = result["methods"], len(result["slices"])
    sentences = []
    if NETWORK in methods:
        others = {name: row for name, row in methods.items() if name != NETWORK}
        rivals = _rivals(others)
        sentences += [_comparison(others[name], name, name == rivals[0]) for name in rivals]
        sentences += _texture(methods)
        sentences += _membranes(result)
        sentences += _caution(methods[NETWORK], [others[name] for name in rivals])
    if result["settings"].get("aligned"):
        sentences.append(
            "The neighbours were registered to the hidden slices, so these figures leave out drift."
        )
    views = result["settings"].get("views", 1)
    if NETWORK in methods and views > 1:
        sentences.append(
            f"The network averaged over {views} views of a slice, as a repair with --views {views}."
        )
    if number < FEW:
        what = "one slice was" if number == 1 else f"{number} slices were"
        sentences.append(f"Only {what} judged, so treat the figures as a hint.")
    left_out = result["settings"]["left_out"]
    if left_out:
        each = ", ".join(f"slice {z} ({reason})" for z, reason in left_out.items())
        sentences.append(f"Left out: {each}.")
    return sentences


def _rivals(others: dict[str, dict[str, Any]]) -> list[str]:
    """Methods to compare with: averaging, and the best baseline; no other models."""
    known = [name for name in others if name in WORDS]
    best = sorted(known, key=lambda name: others[name]["psnr"], reverse=True)[:1]
    return list(dict.fromkeys([name for name in known if name == "average"] + best))


def _comparison(other: dict[str, Any], name: str, first: bool) -> str:
    difference = other["difference"]["psnr"]
    sure = difference["interval"]
    gain = f"PSNR {difference['mean']:+.2f} dB"
    if sure is not None:
        gain += f", 95 % interval {sure[0]:+.2f} to {sure[1]:+.2f}"
    sentence = (
        "On this stack the network comes closer to the real slice" if first else "It comes closer"
    )
    best = "" if first else ", the best other method,"
    score = f"in {difference['better']} of {difference['of']} slices ({gain})"
    sentence = f"{sentence} than {words(name)}{best} {score}"
    if sure is not None and sure[0] <= 0 <= sure[1]:
        sentence += "; these slices do not show which of the two is better"
    return sentence + "."


def _texture(methods: dict[str, dict[str, Any]]) -> list[str]:
    own = methods[NETWORK]["hf_ratio"]
    if own is None:
        return []
    low, high = LIKE_REAL
    like = "smoother than" if own < low else "rougher than" if own > high else "like"
    text = f"The network's texture is {like} that of real slices, its grain {own:.2f} of theirs"
    average = methods.get("average", {}).get("hf_ratio")
    return [text + ("" if average is None else f" (averaging: {average:.2f})") + "."]


def _caution(own: dict[str, Any], rivals: list[dict[str, Any]]) -> list[str]:
    """Cautions that PSNR alone does not show."""
    low, high = LIKE_REAL
    hf = own["hf_ratio"] or 1.0
    if any(row["difference"]["psnr"]["mean"] < 0 for row in rivals):
        if low <= hf <= high:
            return [
                "Natural texture costs PSNR, because synthesized grain never matches the real "
                "grain pixel by pixel."
            ]
        return [
            "Another method comes closer to the real slices than the network: "
            "try another model, or fine-tune one to this stack."
        ]
    if hf < low:
        return ["PSNR and SSIM favour smooth pictures: look at texture and membranes, too."]
    return []


def _membranes(result: Result) -> list[str]:
    methods = result["methods"]
    own = methods[NETWORK]["dice"]
    if own is None:
        return []
    others = {name: row["dice"] for name, row in methods.items() if name != NETWORK and row["dice"]}
    text = f"A segmenter finds the network's membranes with a Dice of {own:.3f}"
    if others:
        best = max(others, key=lambda name: others[name])
        text += f" (the best other method, {words(best)}: {others[best]:.3f}"
        real = result["real"]["dice"]
        text += ")" if real is None else f"; in the real slices: {real:.3f})"
        if others[best] > own:
            text += ": here the network is not the best"
    return [text + "."]
