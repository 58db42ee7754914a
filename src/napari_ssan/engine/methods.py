"""Ways to synthesize a section from its neighbours: the network, and its baselines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, shift
from skimage.registration import (
    optical_flow_ilk,
    optical_flow_tvl1,
    phase_cross_correlation,
)

from napari_ssan.engine.events import Notice, Report
from napari_ssan.errors import BadInput
from napari_ssan.stack.alignment import GRAIN
from napari_ssan.stack.intensity import Float, Float64

if TYPE_CHECKING:
    from napari_ssan.network.model_file import ModelInfo

#: Two sections and a position to the section there.
Between = Callable[[Float, Float, float], Float]
#: Names of the methods, the network first.
METHODS = ("ssan", "copy", "average", "registered", "ilk", "tvl1")
#: Ways to fit grey values to the neighbours'.
MATCHES = ("auto", "mean", "histogram")
#: Pixels that adjacent tiles of the network share; keeps their origins on its lattice.
OVERLAP = 64
#: Side of the blocks that :func:`block_flow` registers, in pixels; they overlap by half.
BLOCK = 64


class Method(Protocol):
    """How tiles are synthesized.

    Attributes
    ----------
    name : str
        As in :data:`METHODS`.
    model : ModelInfo or None
        The weights, for the network.
    tile, overlap : int
        Size of a tile and what adjacent ones share, in pixels.
    batch : int
        Tiles that are worked on at once.
    match : {"mean", "histogram"}
        Whether the result takes over mean and contrast of the neighbours as the
        method gives them, or their whole distribution.
    """

    name: str
    model: ModelInfo | None
    tile: int
    overlap: int
    batch: int
    match: str

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """(tiles, height, width) of both neighbours, normalized, to the same of the section."""
        ...


class Classical:
    """Copy, average, and average along a registration or a flow: no weights, no torch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model: ModelInfo | None = None
        self.match = "mean"
        self.batch = 1
        # As large as is quick: a flow needs surroundings, and up to here a section is one tile.
        self.tile, self.overlap = 1024, 128
        between: dict[str, Between] = {
            "copy": copy,
            "average": average,
            "registered": partial(flow_halfway, estimate=block_flow),
            "ilk": partial(flow_halfway, estimate=optical_flow_ilk),
            "tvl1": partial(flow_halfway, estimate=optical_flow_tvl1),
        }
        self._between = between[name]

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        pairs = zip(previous, following, strict=True)
        return np.stack([self._between(a, b, position) for a, b in pairs])


class Network:
    """SSAN, on the device that was asked for.

    When a GPU's memory does not suffice, the batch is halved, and at last the
    CPU takes over; either is reported.

    Parameters
    ----------
    model : str
        Name of a bundled model, or path of one.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    report : callable
        Where notices go.

    Raises
    ------
    BadInput
        If the model or the device is not to be had.
    """

    def __init__(self, model: str, device: str, report: Report) -> None:
        from napari_ssan.network.device import choose_device
        from napari_ssan.network.model_file import load_model

        self.name = "ssan"
        self._device = choose_device(device)
        loaded = load_model(model)
        self._network = loaded.network
        self._report = report
        self.model: ModelInfo | None = loaded.info
        self.tile = loaded.tile
        self.overlap = min(OVERLAP, self.tile // 2)
        self.match = str(loaded.info.card.get("match", "mean"))
        self.batch = 8 if self._device.type != "cpu" else 1
        self._start()

    def _start(self) -> None:
        from napari_ssan.network.inference import Runner

        self._runner = Runner(self._network, self._device)

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        import torch

        done: list[Float] = []
        start = 0
        while start < len(previous):
            part = slice(start, start + self.batch)
            first, second = (torch.from_numpy(x[part]).unsqueeze(1) for x in (previous, following))
            try:
                image = self._runner.synthesize(first, second, torch.full((len(first),), position))
            except torch.cuda.OutOfMemoryError:
                self._shrink()
                continue
            done.append(image[:, 0].float().cpu().numpy())
            start = part.stop
        return np.concatenate(done)

    def _shrink(self) -> None:
        import torch

        if self.batch > 1:
            self.batch //= 2
            self._report(
                Notice(f"The GPU's memory is full: going on with {self.batch} tiles at a time.")
            )
        else:
            self._device = torch.device("cpu")
            self._report(Notice("The GPU's memory is full even for one tile: going on on the CPU."))
            self._start()
        torch.cuda.empty_cache()


def make_method(name: str, model: str, device: str, report: Report, match: str = "auto") -> Method:
    """A method by its name.

    Parameters
    ----------
    name : str
        One of :data:`METHODS`.
    model, device : str
        For the network; see :class:`Network`.
    report : callable
        Where notices go.
    match : {"auto", "mean", "histogram"}
        How grey values are fitted to the neighbours'; ``auto`` is the method's own way.

    Raises
    ------
    BadInput
        If there is no such method, model, device or match.
    """
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    if match not in MATCHES:
        raise BadInput(f"Grey values are matched by one of {', '.join(MATCHES)}, not by {match!r}.")
    if name == "ssan":
        method: Method = Network(model, device, report)
    elif device not in ("auto", "cpu"):
        raise BadInput(f"The method {name!r} runs on the CPU only; leave the device at auto.")
    else:
        method = Classical(name)
    if match != "auto":
        method.match = match
    return method


def copy(previous: Float, following: Float, position: float) -> Float:
    """The nearer section, the previous one if both are."""
    return previous if position <= 0.5 else following


def average(previous: Float, following: Float, position: float) -> Float:
    """Both sections, weighed by nearness."""
    return (1 - position) * previous + position * following


def flow_halfway(
    previous: Float, following: Float, position: float, estimate: Callable[[Float, Float], Float]
) -> Float:
    """Both sections, warped towards the wanted one along the flow between them.

    Parameters
    ----------
    previous, following : ndarray of float32, (height, width)
        The neighbours.
    position : float
        Share of the way from the first to the second.
    estimate : callable
        :func:`block_flow`, or ``optical_flow_ilk`` or ``optical_flow_tvl1`` of
        scikit-image.
    """
    flow = estimate(previous, following)
    grid = np.indices(previous.shape, dtype=np.float32)
    # previous(x) = following(x + flow): a share of it from one side, the rest from the other.
    warp0 = map_coordinates(previous, grid - position * flow, order=1, mode="nearest")
    warp1 = map_coordinates(following, grid + (1 - position) * flow, order=1, mode="nearest")
    return average(warp0, warp1, position)


def block_flow(previous: Float, following: Float) -> Float:
    """Flow of a block-wise registration: each block as a whole, smooth in between.

    Every block of :data:`BLOCK` pixels is registered by cross-correlation to a
    tenth of a pixel, up to a quarter of its side. The shifts are averaged with
    the adjacent blocks', each weighed by how well it correlates once shifted,
    and interpolated.

    Parameters
    ----------
    previous, following : ndarray of float32, (height, width)
        Two sections.

    Returns
    -------
    ndarray of float32, (2, height, width)
        Rows and columns from each pixel of `previous` to its place in `following`.
    """
    flat = [_structure(section) for section in (previous, following)]
    sides = [min(BLOCK, length) for length in previous.shape]
    starts = [
        np.linspace(0, length - side, -(-(length - side) * 2 // BLOCK) + 1).round().astype(int)
        for length, side in zip(previous.shape, sides, strict=True)
    ]
    taper = np.outer(*(np.hanning(side + 2)[1:-1] for side in sides))
    field = np.zeros((2, len(starts[0]), len(starts[1])))
    weight = np.zeros(field.shape[1:])
    for row, column in np.ndindex(weight.shape):
        top, left = starts[0][row], starts[1][column]
        block = slice(top, top + sides[0]), slice(left, left + sides[1])
        # Tapering both would draw the shift towards zero.
        a, b = flat[0][block] * taper, flat[1][block]
        norm = np.sqrt((a * a).sum() * (b * b).sum())
        if norm < 1e-6:  # nothing but rounding
            continue
        found, _, _ = phase_cross_correlation(a, b, upsample_factor=10, normalization=None)
        if (np.abs(found) <= BLOCK / 4).all():
            field[:, row, column] = -found
            weight[row, column] = max((a * shift(b, found, order=1)).sum() / norm, 0) ** 2
    covered = gaussian_filter(weight, 1, mode="nearest") + 1e-9
    field = gaussian_filter(field * weight, (0, 1, 1), mode="nearest") / covered
    places = [
        np.interp(np.arange(length), start + (side - 1) / 2, np.arange(len(start)))
        for length, start, side in zip(previous.shape, starts, sides, strict=True)
    ]
    grid = np.meshgrid(*places, indexing="ij")
    flow = [map_coordinates(part, grid, order=1, mode="nearest") for part in field]
    return np.stack(flow).astype(np.float32)


def _structure(section: Float) -> Float64:
    """What is left of a section without grain and slow shading."""
    image = section.astype(np.float64)
    structure: Float64 = gaussian_filter(image, GRAIN) - gaussian_filter(image, 8 * GRAIN)
    return structure
