"""The page (README) of a packaged model, and the licence that its card names."""

from __future__ import annotations

import re
from collections.abc import Callable

from napari_ssan.engine.tiles import Tiling
from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import ModelInfo
from napari_ssan.stack.intensity import SPAN

REPOSITORY = "https://github.com/napari-ssan/napari-ssan"
#: Creative Commons licences, as written in prose.
_CREATIVE_COMMONS = re.compile(
    r"\bCC[ -]BY(?:[ -](NC))?(?:[ -](SA|ND))?[ -](\d\.\d)\b", re.IGNORECASE
)

_PAGE = """\
# Section interpolation for serial-section electron microscopy: {name}

{card}

## What it does

The sparse self-attention aggregation network (SSAN) of
[Wang et al. 2021](https://doi.org/10.1186/s13040-021-00236-z) synthesizes a lost or damaged
section from the sections before and after it. The result lies halfway between the two. It is
plausible, not observed: it carries alignment and segmentation across a gap, but it is no
evidence of what was there.

This model was packaged with [napari-ssan]({repository}). That program also aligns the
neighbours, ignores marked pixels in them, synthesizes gaps of several sections, and records
in its output what is synthetic. To import the model from this package, run
`napari-ssan models import PACKAGE.zip`.

## Inputs and output

- `previous`, `following`: the two neighbours, one grey channel each, aligned to each other. Grey
  values may have any range. The preprocessing normalizes each section to mean 0 and standard
  deviation 1, divides by {span:g} and adds 0.5. It must use each section's **own** mean and
  standard deviation, of the whole section and not of a tile.
- `section`: the synthesized section, in standard deviations from the mean. Its grey values are
  `section * s + m`, where `m` and `s` are the averages of the two neighbours' means and standard
  deviations.

Use tiles of up to {tiling.largest} × {tiling.largest} pixels that overlap by {tiling.overlap}
pixels or more. Their height and width are multiples of {tiling.multiple} pixels. The network looks
at a tile as a whole, so its result changes a little with the tile's size and place.

## Validation

Hide a good section, synthesize it from its two neighbours, and compare. In `napari-ssan`, mark
the section as lost and repair it. Pixel-wise measures alone mislead, because blurring improves
them. Look also at how much of the high frequencies is kept, and at membranes that one
segmentation finds in the real and in the synthesized section. Compare with the average of the
neighbours and with their optical flow.

The test sections in this package show that the model runs as it did where it was packaged.
They do not show how good it is.

## Terms

{terms}
"""


def page(info: ModelInfo, tiling: Tiling) -> str:
    """Write the documentation of a packaged model, in Markdown.

    Parameters
    ----------
    info : ModelInfo
    tiling : Tiling
        Tiles that a repair uses.
    """
    return _PAGE.format(
        name=info.name,
        card=card_text(info),
        repository=REPOSITORY,
        span=SPAN,
        tiling=tiling,
        terms=info.card.get("terms") or "Whoever trained the model stated no terms.",
    )


def licence(terms: str, is_known: Callable[[str], bool]) -> str | None:
    """Find the SPDX identifier in terms that name exactly one licence; else None.

    Parameters
    ----------
    terms : str
        In prose, such as "CC BY-NC-SA 3.0 (the strictest of its data's terms)".
    is_known : callable
        Whether a word is an SPDX identifier.
    """

    def hyphenate(found: re.Match[str]) -> str:
        return "-".join(["CC-BY", *filter(None, found.groups())]).upper()

    words = re.findall(r"[\w.+-]*\w", _CREATIVE_COMMONS.sub(hyphenate, terms))
    # Some identifiers are everyday words; those with a hyphen are not.
    named = {word for word in words if ("-" in word or word == "MIT") and is_known(word)}
    return named.pop() if len(named) == 1 else None
