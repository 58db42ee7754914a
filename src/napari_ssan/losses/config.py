"""Configuration of the loss: which terms it has, and their weights.

The losses themselves are in the modules beside it; :mod:`~napari_ssan.losses.total` adds them
up. A style weight fits only one set of VGG16 weights: use :func:`calibrated`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Weights of the style and the feature term, found by trial, for each kind of VGG16 weights.
#: With two or three taps, the style term then ends at 0.12 to 0.25 of the pixel term on each
#: scale. The feature term, which smooths, ends no higher.
#: The paper's 10^6 and 1 are for all four taps and an image in [0, 1] without preprocessing.
CALIBRATED = {"torchvision": (6e3, 0.004), "caffe": (1.5e6, 1.0)}

Weight = Annotated[float, Field(ge=0)]
#: The paper's weights of the style balance, for the previous, the wanted and the next section.
BETAS = (0.1, 1.0, 0.1)


class LossConfig(BaseModel):
    """Which terms the loss has, and their weights (eq. 12).

    A style weight fits one set of VGG16 weights and one scaling of their input. Judge it
    by the value of the weighted style term in training: at 0.03 of the pixel term,
    sections were too smooth; at 0.15 to 0.25 they had real texture.

    Attributes
    ----------
    preset : {"L_1", "L_f", "L_s"}
        ``L_1`` is the pixel-wise loss, ``L_f`` adds feature reconstruction, and ``L_s``
        adds style as well.
    style, feature : float or None
        The paper's alpha_1 and alpha_2. None takes those of :func:`calibrated`.
    pixel : float
        The paper's alpha_3.
    structure : float
        Weight of one minus the structural similarity; not in the paper.
    membranes : float
        Weight of the membrane term, which compares the membranes that a segmenter
        finds; not in the paper.
    balance : bool
        Use style balance. If False, use plain style reconstruction, for comparison.
    betas : (float, float, float)
        The paper's beta: weights of the style balance for the previous, the wanted
        and the following section.
    epsilon_squared : float
        Squared epsilon of the Charbonnier penalty. The authors' code has 1e-6, the paper
        prints 1e-12. From about 1e-2 the penalty acts as a squared error; the network
        then learns the mean of the possible sections instead of the median.
    scales : tuple of int
        Binning factors; the loss is summed over sections binned by each of them, 1 means
        not binned. Binned by 2, three taps of VGG16 see as far as the paper's fourth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["L_1", "L_f", "L_s"] = "L_1"
    style: float | None = Field(None, ge=0)
    feature: float | None = Field(None, ge=0)
    pixel: float = Field(1.0, ge=0)
    structure: float = Field(0.0, ge=0)
    membranes: float = Field(0.0, ge=0)
    balance: bool = True
    betas: tuple[Weight, Weight, Weight] = BETAS
    epsilon_squared: float = Field(1e-6, gt=0)
    scales: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field((1,), min_length=1)


def calibrated(convention: str = "torchvision") -> LossConfig:
    """Return ``L_s`` with the term weights that fit a kind of VGG16 weights.

    Parameters
    ----------
    convention : {"torchvision", "caffe"}
        The kind of VGG16 weights.
    """
    style, feature = CALIBRATED[convention]
    return LossConfig(preset="L_s", style=style, feature=feature)
