"""What an evaluation says, in plain sentences."""

from __future__ import annotations

from typing import Any

from napari_ssan.evaluation.result import NETWORK, Result

#: What a method does, as the object of "than" or "by".
WORDS = {
    "copy": "copying the nearest slice",
    "average": "averaging",
    "registered": "averaging registered slices",
    "ilk": "optical flow (ILK)",
    "tvl1": "optical flow (TV-L1)",
    NETWORK: "the network",
}
#: Texture within these bounds cannot be told from that of real slices.
LIKE_REAL = (0.8, 1.25)
#: Fewer slices than this are a hint only.
FEW = 5


def words(method: str) -> str:
    """A method in plain words."""
    if method.startswith(f"{NETWORK}:"):
        return f"the model {method.removeprefix(f'{NETWORK}:')}"
    return WORDS[method]


def summarize(result: Result) -> list[str]:
    """Say what the figures mean: first whether the network is worth it, then what to mind.

    Parameters
    ----------
    result : dict
        As :func:`~napari_ssan.evaluation.result.to_result` gives it.
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
            "The neighbours were registered to what was hidden: drift is not in these figures."
        )
    if number < FEW:
        what = "one slice" if number == 1 else f"{number} slices"
        sentences.append(f"Judged on {what} only: take the figures as a hint.")
    left_out = result["settings"]["left_out"]
    if left_out:
        each = ", ".join(f"slice {z} ({reason})" for z, reason in left_out.items())
        sentences.append(f"Left out: {each}.")
    return sentences


def _rivals(others: dict[str, dict[str, Any]]) -> list[str]:
    """Averaging, which everybody knows, and the baseline that comes closest; no other models."""
    known = [name for name in others if name in WORDS]
    best = sorted(known, key=lambda name: others[name]["psnr"], reverse=True)[:1]
    return list(dict.fromkeys([name for name in known if name == "average"] + best))


def _comparison(other: dict[str, Any], name: str, first: bool) -> str:
    difference = other["difference"]["psnr"]
    sure = difference["interval"]
    gain = f"PSNR {difference['mean']:+.2f} dB"
    if sure is not None:
        gain += f", 95 % {sure[0]:+.2f} to {sure[1]:+.2f}"
    sentence = (
        "On this stack the network comes closer to the real slice" if first else "It comes closer"
    )
    best = "" if first else ", the best of the others,"
    score = f"in {difference['better']} of {difference['of']} slices ({gain})"
    sentence = f"{sentence} than {words(name)}{best} {score}"
    if sure is not None and sure[0] <= 0 <= sure[1]:
        sentence += "; these slices do not tell which of them is better"
    return sentence + "."


def _texture(methods: dict[str, dict[str, Any]]) -> list[str]:
    own = methods[NETWORK]["hf_ratio"]
    if own is None:
        return []
    low, high = LIKE_REAL
    text = f"Grain is {own:.2f} of that of the real slices"
    if own < low:
        text = f"The network's texture is smoother than real: {text[0].lower()}{text[1:]}"
    elif own > high:
        text = f"The network's texture is rougher than real: {text[0].lower()}{text[1:]}"
    else:
        text = f"The network's texture is like that of real slices: {text[0].lower()}{text[1:]}"
    average = methods.get("average", {}).get("hf_ratio")
    return [text + ("" if average is None else f" (averaging: {average:.2f})") + "."]


def _caution(own: dict[str, Any], rivals: list[dict[str, Any]]) -> list[str]:
    """What PSNR alone would not tell."""
    low, high = LIKE_REAL
    hf = own["hf_ratio"] or 1.0
    if any(row["difference"]["psnr"]["mean"] < 0 for row in rivals):
        if low <= hf <= high:
            return [
                "Natural texture costs PSNR: grain that could have been there is not the grain "
                "that was."
            ]
        return [
            "Another method comes closer to the real slices than the network does: "
            "try another model, or one that is trained on this stack."
        ]
    if hf < low:
        return ["PSNR and SSIM reward smooth pictures: look at texture and membranes, too."]
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
        text += f" (the best of the others, {words(best)}: {others[best]:.3f}"
        real = result["real"]["dice"]
        text += ")" if real is None else f"; in the real slices: {real:.3f})"
        if others[best] > own:
            text += ": there the network is not the best"
    return [text + "."]
