"""The kernel estimation layer (KEL): a separable kernel for every pixel (Niklaus et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Taps of a kernel along each axis, in SepConv and in the paper.
TAPS = 51


def separable_convolution(image: Tensor, vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Convolve every pixel with its own kernel, the outer product of two lines.

    ``out(y, x) = sum_ij vertical_i(y, x) horizontal_j(y, x) image(y + i - r, x + j - r)``,
    the border repeated. The windows are a view of the padded image and are
    never unfolded in memory: one batched matrix product sums along x, one
    weighted sum along y. Only the gradient of an image that needs one unfolds
    them, at taps² times its memory; sections need none.

    Parameters
    ----------
    image : Tensor
        (batch, 1, H, W).
    vertical, horizontal : Tensor
        (batch, taps, H, W) each; the number of taps is odd.

    Returns
    -------
    Tensor
        (batch, 1, H, W), float32.
    """
    border = vertical.shape[1] // 2
    padded = functional.pad(image.float(), (border,) * 4, mode="replicate")
    pitch = padded.shape[3]
    # Under autocast the product would copy all windows to cast them.
    with torch.autocast(image.device.type, enabled=False):
        return torch.stack(
            [
                _convolve(plane, down.float(), along.float(), pitch)
                for plane, down, along in zip(padded[:, 0], vertical, horizontal, strict=True)
            ]
        )


def _convolve(plane: Tensor, vertical: Tensor, horizontal: Tensor, pitch: int) -> Tensor:
    taps, height, width = vertical.shape
    # A window for each pixel of the padded rows, also for those that the border adds on the
    # right: so all windows lie one apart. Their columns are cut off afterwards.
    flat = functional.pad(plane.flatten(), (0, taps))
    windows = flat.as_strided((height * pitch, taps, taps), (1, pitch, 1))
    lines = functional.pad(horizontal, (0, pitch - width)).permute(1, 2, 0)
    rows = torch.bmm(windows, lines.reshape(-1, taps, 1))
    inside = rows.view(height, pitch, taps)[:, :width]
    return (inside * vertical.permute(1, 2, 0)).sum(dim=-1)[None]


class KernelEstimation(nn.Module):
    """Kernels of one section, from features, and the section convolved with them.

    SepConv's estimator: three 3x3 convolutions, bilinear upsampling where the
    features are coarser than the section, and a last convolution at the
    section's own resolution; one such stack for each axis. Unlearned, a kernel
    is 1 at its middle, so that training starts from the section itself.

    Parameters
    ----------
    features : int
        Channels of the features.
    scale : int
        Resolution of the section over that of the features.
    taps : int
        Length of a kernel along an axis; odd.
    """

    def __init__(self, features: int, scale: int, taps: int = TAPS) -> None:
        super().__init__()
        if taps % 2 == 0:
            raise ValueError(f"a kernel of {taps} taps has no middle")
        self.taps, self.scale = taps, scale
        self.vertical = _estimator(features, scale, taps)
        self.horizontal = _estimator(features, scale, taps)

    def forward(self, features: Tensor, section: Tensor) -> Tensor:
        """(batch, features, H/scale, W/scale) and (batch, 1, H, W) to (batch, 1, H, W)."""
        return separable_convolution(section, self.vertical(features), self.horizontal(features))

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for features of height x width, upsampling left out."""
        positions = height * width
        total = 0
        for estimator in (self.vertical, self.horizontal):
            *coarse, fine = (m for m in estimator if isinstance(m, nn.Conv2d))
            total += positions * sum(conv.weight.numel() for conv in coarse)
            total += positions * self.scale**2 * fine.weight.numel()
        return total + positions * self.scale**2 * self.taps * (self.taps + 1)


class KernelHead(nn.Module):
    """Kernel estimation in the place of SSAN's warp head: a branch's own section, convolved."""

    def __init__(self, features: int, scale: int, taps: int) -> None:
        super().__init__()
        self.kernels = KernelEstimation(features, scale, taps)

    @property
    def out(self) -> nn.Module:
        """Last convolution, by which SSAN tells the precision of its heads."""
        return self.kernels.horizontal[-1]

    def forward(self, features: Tensor, own: Tensor, other: Tensor, distance: Tensor) -> Tensor:
        """See :class:`~napari_ssan.network.ssan.WarpHead`; all but `own` is in the features."""
        warped: Tensor = self.kernels(features, own)
        return warped


def _estimator(features: int, scale: int, taps: int) -> nn.Sequential:
    upsampling = (
        [nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)] if scale > 1 else []
    )
    last = nn.Conv2d(taps, taps, 3, padding=1)
    nn.init.zeros_(last.weight)
    with torch.no_grad():
        nn.init.zeros_(last.bias)[taps // 2] = 1
    return nn.Sequential(
        nn.Conv2d(features, features, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(features, features, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(features, taps, 3, padding=1),
        nn.ReLU(),
        *upsampling,
        last,
    )
