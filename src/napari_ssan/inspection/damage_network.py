"""A small network that sees damage which no rule tells: spots, lines and patches of a section.

It is given the section and its two registered neighbours at the resolution of comparison. Its
maps are evidence like that of the rules in :mod:`~napari_ssan.inspection.regions`, and are judged
in the same way. ``benchmarks/damage_network.py`` trains it on damage that is planted. Easy to get
wrong: this module imports torch, so it is imported where it is used only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from napari_ssan.inspection.pictures import Float

#: The kinds of damage that it tells. Charging counts as a hole.
OUTPUTS = ("contamination", "hole", "fold", "crack", "blur")
#: The maps of the rules that it is given, and their scales.
RULES = {
    **{"soft": 1.0, "dark": 1.0, "light": 1.0, "dark wide": 1.0, "light wide": 1.0},
    **{"dark long": 3.0, "light long": 3.0},
}
#: Of each section: grey values and fine detail.
PICTURES = 2
#: Channels for each neighbour at full resolution, then at a half, a quarter and an eighth, ...
CHANNELS = (12, 24, 40, 48)
#: ... and at full resolution in the end.
LAST = 16
#: Maps of the rules are cut to this range.
RANGE = (-3.0, 5.0)
#: Height and width of an input are multiples of this.
MULTIPLE = 2 ** (len(CHANNELS) - 1)
#: Twice as quick on a CPU.
LAYOUT = torch.channels_last
WEIGHTS = Path(__file__).with_name("damage_network.safetensors")


class DamageNetwork(nn.Module):
    """A U-Net that sees a section beside each neighbour with the same weights.

    What it has seen beside both is joined as their sum and their difference without its sign, so
    that the order of the neighbours does not matter. The maps of the rules join at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *deeper = CHANNELS
        self.beside = _block(2 * PICTURES, first, first)
        levels = list(pairwise((2 * first, *deeper)))
        self.down = nn.ModuleList(_block(a, b, b) for a, b in levels)
        self.up = nn.ModuleList(_block(a + b, a if n else LAST) for n, (a, b) in enumerate(levels))
        self.join = _block(LAST + len(RULES), LAST)
        self.head = nn.Conv2d(LAST, len(OUTPUTS), 1)

    def forward(self, own: Tensor, before: Tensor, after: Tensor, maps: Tensor) -> Tensor:
        """Find damage.

        Parameters
        ----------
        own, before, after : Tensor
            (batch, 2, H, W), the `evidence` of sections; H and W are multiples of 8.
        maps : Tensor
            (batch, 7, H, W), from :func:`scaled`.

        Returns
        -------
        Tensor
            (batch, 5, H, W), logits, as named in :data:`OUTPUTS`.
        """
        one, other = (self.beside(torch.cat((own, each), 1)) for each in (before, after))
        x = _beside_each_other(one + other, (one - other).abs_())
        passed = []
        for block in self.down:
            passed.append(x)
            x = block(functional.avg_pool2d(x, 2))
        for block in reversed(self.up):
            weight, bias = block.parameters()
            x = _joined(weight, bias, passed.pop(), x).relu_()
        return _logits(self.head, self.join(torch.cat((x, maps), 1)))


def _beside_each_other(*maps: Tensor) -> Tensor:
    """Join maps with the channels last, which is twice as quick."""
    return torch.cat([each.movedim(1, -1) for each in maps], -1).movedim(-1, 1)


def _logits(head: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve (batch, channels, H, W) by 1 x 1 to (batch, outputs, H, W).

    The channels come last in `x`; in the result, maps lie one after the other, since they are used
    one by one.
    """
    weight, bias = head.parameters()
    channels_last = x.movedim(1, -1).reshape(-1, x.shape[1])
    logits = torch.addmm(bias[:, None], weight.flatten(1), channels_last.T)
    return logits.reshape(-1, x.shape[0], *x.shape[2:]).movedim(0, 1)


def _joined(weight: Tensor, bias: Tensor, passed: Tensor, coarse: Tensor) -> Tensor:
    """Convolve two maps side by side, of which the second is enlarged twofold first.

    Each pixel of the second map stands for four, so its kernel of 3 x 3 is one of 4 x 4 between the
    pixels, which needs less than half of the products, and neither map is copied.
    """
    channels = passed.shape[1]
    fine, enlarged = weight[:, :channels], weight[:, channels:]
    for axis in (2, 3):
        first, middle, last = enlarged.unbind(axis)
        enlarged = torch.stack((last, middle + last, first + middle, first), axis)
    kernel = enlarged.transpose(0, 1).contiguous(memory_format=LAYOUT)
    fine = fine.contiguous(memory_format=LAYOUT)
    joined = functional.conv2d(passed, fine, bias, padding=1)
    joined += functional.conv_transpose2d(coarse, kernel, stride=2, padding=1)
    return joined


def _block(*channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        convolution = nn.Conv2d(before, after, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def scaled(maps: Mapping[str, Float]) -> Float:
    """The maps of the rules as the network takes them: float32, (7, height, width)."""
    stacked = np.stack([scale * maps[sign] for sign, scale in RULES.items()], dtype=np.float32)
    return stacked.clip(*RANGE, out=stacked)


def damage_maps(
    own: Float, before: Float, after: Float, maps: Mapping[str, Float]
) -> dict[str, Float]:
    """Logits of damage at each pixel, (height, width), by what is told.

    It runs in float32 on the CPU, so that every run gives the same.

    Parameters
    ----------
    own, before, after : ndarray of float32, (2, height, width)
        The `evidence` of a section and of its registered neighbours, as in
        :class:`~napari_ssan.inspection.look.Sighting`.
    maps : mapping of str to ndarray, (height, width)
        From :func:`~napari_ssan.inspection.signs.rule_maps`.
    """
    height, width = own.shape[1:]
    pads = ((0, 0), (0, -height % MULTIPLE), (0, -width % MULTIPLE))
    given = [own, before, after, scaled(maps)]
    if height % MULTIPLE or width % MULTIPLE:
        given = [np.pad(each, pads, mode="edge") for each in given]
    tensors = [torch.from_numpy(x)[None].contiguous(memory_format=LAYOUT) for x in given]
    with torch.inference_mode():
        logits = _network()(*tensors)[0, :, :height, :width].numpy()
    return dict(zip(OUTPUTS, logits, strict=True))


@contextmanager
def on_one_core() -> Iterator[None]:
    """Let threads that start meanwhile run networks on one core each: they share all already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _network() -> DamageNetwork:
    network = DamageNetwork()
    network.load_state_dict(load_file(WEIGHTS))
    return network.eval().requires_grad_(False).to(memory_format=LAYOUT)  # type: ignore[call-overload,no-any-return]
