"""The settings of a loss: which terms it has, and their weights.

The terms themselves are in the other modules of :mod:`napari_ssan.losses`. Easy to get wrong: a
style weight fits one set of VGG16 weights and one scaling of their input. Judge it by the value
that the weighted term reaches in training: .15 to .25 of the pixel term gave real texture, .03
left sections too smooth.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Weights of the style and the feature term, found by trial for each set of VGG16 weights, which
#: differ in how they scale their input. With two or three layers, the style term ends at .12 to
#: .25 of the pixel term on each scale, and the feature term, which smooths, at no more.
#: The paper's 10^6 and 1 are for four layers and an image in [0, 1].
CALIBRATED = {"torchvision": (6e3, 0.004), "caffe": (1.5e6, 1.0)}

Weight = Annotated[float, Field(ge=0)]
#: The paper's weights of the style balance, for the previous, the wanted and the next section.
BETAS = (0.1, 1.0, 0.1)


class LossConfig(BaseModel):
    """Which terms the loss has, and their weights (eq. 12)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    preset: Literal["L_1", "L_f", "L_s"] = "L_1"
    """The terms of the loss. "L_1": pixels. "L_f": pixels and VGG16 features. "L_s": pixels,
    features and style, for natural texture."""
    style: float | None = Field(None, ge=0)
    """Weight of the style term, the paper's alpha_1. Unset: the value that fits the VGG16
    weights."""
    feature: float | None = Field(None, ge=0)
    """Weight of the feature term, the paper's alpha_2. Unset: the value that fits the VGG16
    weights."""
    pixel: float = Field(1.0, ge=0)
    """Weight of the pixel term, the paper's alpha_3."""
    structure: float = Field(0.0, ge=0)
    """Weight of the structural term, 1 - SSIM. Not in the paper."""
    membranes: float = Field(0.0, ge=0)
    """Weight of the membrane term: 1 - soft Dice of the membranes that a segmenter finds in the
    synthesized and in the real section. Not in the paper."""
    balance: bool = True
    """Balance the style of the three sections, as in the paper. false: use plain style
    reconstruction, for comparison."""
    betas: tuple[Weight, Weight, Weight] = BETAS
    """Weights of the style balance for the previous, the wanted and the next section, the
    paper's beta."""
    epsilon_squared: float = Field(1e-6, gt=0)
    """Squared epsilon of the pixel term, a Charbonnier penalty: 1e-6 in the authors' code, 1e-12
    in the paper. From about 0.01 on, the term is the squared error, which favours the mean of
    the possible values over their median."""
    scales: tuple[Annotated[int, Field(ge=1, le=4)], ...] = Field((1,), min_length=1)
    """The loss is summed over the sections binned by each of these factors, 1 to 4. At factor 2,
    three layers of VGG16 see as far as the fourth that the paper uses."""
