"""How wrong a synthesized pixel is likely to be: a small network that has been calibrated.

It sees what a synthesis leaves behind: how far the two neighbours and the two
warps disagree, how far the result is from either, the mask, and where the
result stands out from its surroundings. Its output is the scale of a Laplace
distribution of the error, hence the expected absolute error. It was fitted to
sections that the synthesis was trained on, by ``benchmarks/expected_error.py fit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.network.ssan import Synthesis
from napari_ssan.stack.intensity import SPAN

#: What the network is given, and at which reduced resolution it looks around.
EVIDENCE, REDUCTION = 10, 4
#: Channels of the convolutions, of what they hand on, and of the last layer.
CHANNELS, CONTEXT, HIDDEN = 16, 4, 12
#: Pixels that are judged at once: their maps are small enough that memory is used again.
PIXELS = 2**17
#: Of the output: far outside of what was ever seen, errors stay finite.
LIMITS = (-8.0, 0.0)
WEIGHTS = Path(__file__).with_name("error_network.safetensors")


class ErrorNetwork(nn.Module):
    """Evidence to the logarithm of the expected absolute error.

    Three 3x3 convolutions at a quarter of the resolution see the surroundings;
    each pixel is then judged by them and by its own evidence.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (EVIDENCE, CHANNELS, CHANNELS):
            layers += [
                nn.Conv2d(channels, CHANNELS, 3, padding=1, padding_mode="replicate"),
                nn.ReLU(inplace=True),
            ]
        self.surroundings = nn.Sequential(*layers, nn.Conv2d(CHANNELS, CONTEXT, 1))
        self.pixel = nn.Sequential(
            nn.Conv2d(EVIDENCE + CONTEXT, HIDDEN, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(HIDDEN, 1, 1),
        )

    def forward(self, evidence: Tensor) -> Tensor:
        """Map (batch, 10, H, W) to (batch, 1, H, W)."""
        context = _enlarged(self.surroundings(_reduced(evidence)), evidence)
        lines = max(1, PIXELS // evidence.shape[3])
        parts = (torch.split(x, lines, dim=2) for x in (evidence, context))
        return torch.cat([self._judged(torch.cat(p, 1)) for p in zip(*parts, strict=True)], dim=2)

    def _judged(self, x: Tensor) -> Tensor:
        """What each pixel's own evidence and its surroundings make of it."""
        height, width = x.shape[2:]
        x = x.flatten(2)
        for layer in self.pixel:
            # As a product of matrices, a 1x1 convolution of few channels is twice as quick.
            x = _product(layer, x) if isinstance(layer, nn.Conv2d) else layer(x)
        return x.view(*x.shape[:2], height, width)


def evidence_of(previous: Tensor, following: Tensor, made: Synthesis) -> Tensor:
    """What there is to judge a synthesis by, the same whichever neighbour comes first.

    Parameters
    ----------
    previous, following : Tensor
        (batch, 1, H, W), the neighbours, normalized.
    made : Synthesis
        What was made of them.

    Returns
    -------
    Tensor
        (batch, 10, H, W), in standard deviations of a section.
    """
    image = made.image
    evidence = image.new_empty(len(image), EVIDENCE, *image.shape[2:])
    # One by one into memory that is there already: fresh memory costs more than the sums.
    for number, part in enumerate(_parts(previous, following, made)):
        torch.mul(part, SPAN, out=evidence[:, number : number + 1])
    return evidence


def _parts(previous: Tensor, following: Tensor, made: Synthesis) -> Iterator[Tensor]:
    image = made.image
    yield image - 0.5
    yield (previous + following) / 2 - image
    yield (previous - following).abs()
    yield (made.warp0 - made.warp1).abs()
    yield (previous - image).abs() + (following - image).abs()
    yield torch.minimum(previous, following) - 0.5
    yield made.mask * (1 - made.mask)
    yield (image - 0.5).abs()
    yield _grain(image)
    yield _grain(previous) + _grain(following)


class ErrorEstimator:
    """Estimates the error of synthesized tiles.

    Parameters
    ----------
    device : torch.device
        Where to do so.
    """

    def __init__(self, device: torch.device) -> None:
        self._network = ErrorNetwork()
        self._network.load_state_dict(load_file(WEIGHTS))
        self._network.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, previous: Tensor, following: Tensor, made: Synthesis) -> Tensor:
        """Expected absolute error, (batch, 1, H, W), on the scale of the neighbours."""
        log: Tensor = self._network(evidence_of(previous, following, made))
        return log.clamp_(*LIMITS).exp_()


def _product(conv: nn.Conv2d, x: Tensor) -> Tensor:
    assert conv.bias is not None
    product = torch.matmul(conv.weight.flatten(1), x)
    return product.add_(conv.bias.unsqueeze(1))


def _grain(x: Tensor) -> Tensor:
    """How far each pixel stands out from its surroundings."""
    return (x - _enlarged(_reduced(x), x)).abs()


def _reduced(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, REDUCTION, ceil_mode=True, count_include_pad=False)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, cut to the height and width of another."""
    height, width = like.shape[2:]
    full = functional.interpolate(x, scale_factor=REDUCTION, mode="bilinear")
    return full[:, :, :height, :width]
