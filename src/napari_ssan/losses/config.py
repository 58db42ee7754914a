"""Which terms a loss has, and how they are weighted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Weights of the style and the feature term found by trial, by the convention of VGG16's
#: weights, whose input they prepare: on two or three taps, style then ends at .12 to .25 of the
#: pixel term on each scale, and the feature term, which smooths, at no more.
#: The paper's 10^6 and 1 belong to all four taps of an image in [0, 1] as it is.
CALIBRATED = {"torchvision": (6e3, 0.004), "caffe": (1.5e6, 1.0)}

Weight = Annotated[float, Field(ge=0)]
#: The paper's weights of the style balance, for the previous, the wanted and the next section.
BETAS = (0.1, 1.0, 0.1)


class LossConfig(BaseModel):
    """Which terms the loss has, and their weights (eq. 12).

    A style weight belongs to one set of weights and one scaling of their input; it
    is judged by the value that the weighted term reaches in training. Worth .03 of
    the pixel term, it left sections too smooth; .15 to .25 gave real texture.

    Attributes
    ----------
    preset : {"L_1", "L_f", "L_s"}
        Pixel-wise; and feature reconstruction; and style.
    style, feature : float or None
        The paper's alpha_1 and alpha_2; if None, those of :func:`calibrated`.
    pixel : float
        The paper's alpha_3.
    structure : float
        Weight of one minus the structural similarity, which the paper has not.
    membranes : float
        Weight of the membranes that a segmenter finds, which the paper has not either.
    balance : bool
        Style balance; without it plain style reconstruction, for comparison.
    betas : (float, float, float)
        The paper's beta: weights of the style balance for the previous, the wanted
        and the following section.
    epsilon_squared : float
        Of the Charbonnier penalty: the authors' 1e-6; the paper prints 1e-12. From about
        1e-2 on it is a squared error, whose best guess is the mean of what may be there
        and not the median.
    scales : tuple of int
        The loss is summed over sections binned by each of these factors, 1 leaving them
        as they are. Binned by 2, three taps of VGG16 see as far as the paper's fourth.
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
    """``L_s`` with the weights that fit VGG16's.

    Parameters
    ----------
    convention : {"torchvision", "caffe"}
        Whose weights they are.
    """
    style, feature = CALIBRATED[convention]
    return LossConfig(preset="L_s", style=style, feature=feature)
