"""The page that goes with a packaged model, and the licence that its card names."""

from __future__ import annotations

import re
from collections.abc import Callable

from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import ModelInfo

REPOSITORY = "https://github.com/napari-ssan/napari-ssan"
#: What a licence is called in prose, and what stands in its identifier for it.
_CREATIVE_COMMONS = re.compile(
    r"\bCC[ -]BY(?:[ -](NC))?(?:[ -](SA|ND))?[ -](\d\.\d)\b", re.IGNORECASE
)

_PAGE = """\
# Section interpolation for serial-section electron microscopy: {name}

{card}

## What it does

From the sections before and after a lost or damaged one, the sparse self-attention
aggregation network (SSAN) of [Wang et al. 2021](https://doi.org/10.1186/s13040-021-00236-z)
synthesizes the section halfway between them. What it makes is plausible, not observed: it
carries alignment and segmentation across a gap, and is no evidence of what was there.

Packaged with [napari-ssan]({repository}),
which also aligns the neighbours, leaves out what is marked in them, synthesizes gaps of several
sections at their places, and records in its output what is synthetic.
`napari-ssan models import PACKAGE.zip` takes the model over from this package.

## Inputs and output

- `previous`, `following`: the neighbours, one grey channel each, aligned to each other. Grey
  values of any range; each section is brought to mean 0 and deviation 1 by its **own** mean and
  deviation, taken over the whole section and not tile by tile, then divided by {span:g} and put
  around 0.5.
- `section`: the synthesized section in deviations from the mean. Its grey values are
  `section * s + m`, `m` and `s` being the averages of the two neighbours' means and deviations.

Tiles of {tile} × {tile} pixels are what the network was trained on. It takes larger ones, by
steps of {step} pixels, but looks at a tile as a whole, so that its result changes with the
tile's size and place; {tile} is the size to use, with tiles that overlap by {overlap} pixels
or more.
{views}
## Validation

Hide a good section, synthesize it from its two neighbours, and compare: `napari-ssan` repairs it
if it is marked as lost. A pixel-wise measure alone misleads, as blurring raises it; look also at
the share of high frequencies that is kept, and at membranes found in the real and the
synthesized section by one segmentation. Compare with the average of the neighbours and with
their optical flow.

The test sections in this package show that the model runs as it did where it was packaged.
They do not show how well it does.

## Terms

{terms}
"""


_VIEWS = """
The network in this package synthesizes one view. A repair with napari-ssan averages over
{views}: the tiles mirrored and turned, and the results put back. Whoever wants that result
does the same.
"""


def page(
    info: ModelInfo, *, span: float, step: int, tile: int, overlap: int, views: int = 1
) -> str:
    """Documentation of a packaged model, in Markdown.

    Parameters
    ----------
    info : ModelInfo
        The model.
    span : float
        Standard deviations that make up the network's unit interval.
    step, tile, overlap : int
        Sizes of inputs, in pixels.
    views : int
        Mirrored and turned views that a repair with the model averages over.
    """
    return _PAGE.format(
        name=info.name,
        card=card_text(info),
        repository=REPOSITORY,
        span=span,
        step=step,
        tile=tile,
        overlap=overlap,
        views=_VIEWS.format(views=views) if views > 1 else "",
        terms=info.card.get("terms") or "Not stated by whoever trained the model.",
    )


def licence(terms: str, is_known: Callable[[str], bool]) -> str | None:
    """SPDX identifier of the one licence that terms name, if they name one.

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
    # Some identifiers are words of everyday language; those with a hyphen are none.
    named = {word for word in words if ("-" in word or word == "MIT") and is_known(word)}
    return named.pop() if len(named) == 1 else None
