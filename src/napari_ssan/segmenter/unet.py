"""The U-Net that finds membranes in one section, and its training loop.

It works on normalized crops; :mod:`~napari_ssan.segmenter.segmenter` applies it to sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from threading import Event as Flag

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format
from torch.optim.lr_scheduler import OneCycleLR

from napari_ssan.errors import Cancelled
from napari_ssan.network.device import autocast
from napari_ssan.stack.intensity import Float

#: Crops of sections, and their membranes (1 on membranes, else 0), both (batch, size, size).
Batch = tuple[Float, Float]
#: Decay of the moving average of the weights that becomes the segmenter.
AVERAGE = 0.98


class UNet(nn.Module):
    """Maps a grey section to membranes.

    It has no normalization layers, because they would make a pixel depend on its whole tile.

    Parameters
    ----------
    channels : sequence of int
        Channels of each level. Each level has half the resolution of the one before.

    Attributes
    ----------
    channels : tuple of int
        As given.
    multiple : int
        Height and width of an input must be multiples of this.
    reach : int
        Farthest distance, in pixels, at which an input pixel affects an output pixel.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.multiple = 2 ** (len(self.channels) - 1)
        # Two convolutions per level on the way down and up, two at the bottom, one pooling cell.
        self.reach = 4 * (self.multiple - 1) + 2 * self.multiple + self.multiple - 1
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise((1, *self.channels)))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(self.channels))
        self.head = nn.Conv2d(self.channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Find membranes.

        Parameters
        ----------
        x : Tensor
            (batch, 1, H, W), normalized; H and W are multiples of :attr:`multiple`.

        Returns
        -------
        Tensor
            Logits of the same shape, positive on membranes.
        """
        passed: list[Tensor] = []
        for block in self.down:
            if passed:
                x = functional.max_pool2d(x, 2)
            x = block(x)
            passed.append(x)
        passed.pop()
        for block in reversed(self.up):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([passed.pop(), x], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _block(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels, width):
        convolution = nn.Conv2d(before, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def train_unet(
    channels: Sequence[int],
    batches: Iterator[Batch],
    steps: int,
    learning_rate: float,
    seed: int,
    report: Callable[[int, int], object],
    cancel: Flag | None,
) -> UNet:
    """Train a U-Net from scratch, on the CPU.

    The loss is the sum of cross-entropy and one minus the soft Dice. Dice keeps the
    rare membranes from being outweighed by the cells between them.

    Parameters
    ----------
    channels : sequence of int
        See :class:`UNet`.
    batches : iterator of (ndarray, ndarray)
        Crops and their membranes, float32, (batch, size, size).
    steps, seed : int
        Number of batches to take, and seed of the initial weights.
    learning_rate : float
        Highest learning rate. It rises over the first fifth of the steps, then falls.
    report : callable
        Called with the steps done and the steps in total.
    cancel : threading.Event or None
        Set it to stop at the next step.

    Returns
    -------
    UNet
        The network with the moving average of the weights, in evaluation mode.

    Raises
    ------
    Cancelled
        If `cancel` was set.
    FloatingPointError
        If the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(channels)
    average = deepcopy(network).requires_grad_(False)
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-3)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.2)
    for step in range(steps):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        images, truth = (torch.from_numpy(np.ascontiguousarray(x))[:, None] for x in next(batches))
        with autocast(torch.device("cpu"), True):
            logits = network(images.contiguous(memory_format=torch.channels_last))
        loss = _loss(logits.float(), truth)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the segmenter's loss became {loss.item()} at step {step}")
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        # The average forgets faster at first, so that the random start does not stay in it.
        decay = min(AVERAGE, step / (step + 10))
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - decay)
        report(step + 1, steps)
    return average.eval()


def _loss(logits: Tensor, truth: Tensor) -> Tensor:
    found = torch.sigmoid(logits)
    overlap = (2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, truth) + 1 - overlap
