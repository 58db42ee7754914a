"""Which terms a loss has, and how they are weighted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LossConfig(BaseModel):
    """Which terms the loss has, and their weights (eq. 12).

    Attributes
    ----------
    preset : {"L_1", "L_f", "L_s"}
        Pixel-wise; and feature reconstruction; and style.
    style, feature, pixel : float
        The paper's alpha_1, alpha_2, alpha_3. 10^6 fits four taps of torchvision's
        weights; with others the style term is worth something else.
    balance : bool
        Style balance; without it plain style reconstruction, for comparison.
    epsilon_squared : float
        Of the Charbonnier penalty: the authors' 1e-6; the paper prints 1e-12.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Literal["L_1", "L_f", "L_s"] = "L_1"
    style: float = Field(1e6, ge=0)
    feature: float = Field(1.0, ge=0)
    pixel: float = Field(1.0, ge=0)
    balance: bool = True
    epsilon_squared: float = Field(1e-6, gt=0)
