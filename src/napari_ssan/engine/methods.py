"""Ways to synthesize a section from its neighbours: the network, and its baselines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from skimage.registration import optical_flow_ilk, optical_flow_tvl1

from napari_ssan.engine.warps import Warp, block_flow, unmoved, warp_halfway
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice, Report
from napari_ssan.stack.intensity import Float

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ssan.engine.error_network import ErrorEstimator
    from napari_ssan.network.model_file import ModelInfo

#: Names of the methods, the network first.
METHODS = ("ssan", "copy", "average", "registered", "ilk", "tvl1")
#: Ways to fit grey values to the neighbours'.
MATCHES = ("auto", "mean", "histogram")
#: Numbers of views that the network may average over.
VIEWS = (1, 2, 4, 8)
#: Pixels that adjacent tiles of the network share; keeps their origins on its lattice.
OVERLAP = 64


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
    views : int
        Mirrored and turned views that are averaged over.
    """

    name: str
    model: ModelInfo | None
    tile: int
    overlap: int
    batch: int
    match: str
    views: int

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """(tiles, height, width) of both neighbours, normalized, to the same of the section."""
        ...

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """As :meth:`synthesize`, and the expected absolute error of each pixel, on that scale."""
        ...


class Classical:
    """Copy, average, and average along a registration or a flow: no weights, no torch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model: ModelInfo | None = None
        self.match, self.views = "mean", 1
        self.batch = 1
        # As large as is quick: a flow needs surroundings, and up to here a section is one tile.
        self.tile, self.overlap = 1024, 128
        warps: dict[str, Warp] = {
            "copy": unmoved,
            "average": unmoved,
            "registered": partial(warp_halfway, estimate=block_flow),
            "ilk": partial(warp_halfway, estimate=optical_flow_ilk),
            "tvl1": partial(warp_halfway, estimate=optical_flow_tvl1),
        }
        self._warp = warps[name]
        self._mix = copy if name == "copy" else average
        #: What estimates errors; until it is needed there is none, since it brings in torch.
        self.estimator: ErrorEstimator | None = None

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        return self._mix(*self._warps(previous, following, position), position)

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """See :meth:`Method.with_error`."""
        import torch

        from napari_ssan.engine.error_network import ErrorEstimator
        from napari_ssan.network.ssan import Synthesis

        warp0, warp1 = self._warps(previous, following, position)
        image = self._mix(warp0, warp1, position)
        mask = self._mix(np.ones_like(image), np.zeros_like(image), position)
        tiles = (previous, following, image, warp0, warp1, mask)
        first, second, *made = (torch.from_numpy(tile).unsqueeze(1) for tile in tiles)
        if self.estimator is None:
            self.estimator = ErrorEstimator(torch.device("cpu"))
        error = self.estimator(first, second, Synthesis(*made))
        return image, error[:, 0].numpy()

    def _warps(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        pairs = zip(previous, following, strict=True)
        warp0, warp1 = zip(*(self._warp(a, b, position) for a, b in pairs), strict=True)
        return np.stack(warp0), np.stack(warp1)


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
    views : int, optional
        One of :data:`VIEWS`, see :class:`~napari_ssan.network.inference.Runner`;
        default is what the model's card says.

    Raises
    ------
    BadInput
        If the model or the device is not to be had.
    """

    def __init__(self, model: str, device: str, report: Report, views: int | None = None) -> None:
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
        self.views = views or views_of(loaded.info)
        # As much work at a time with many views as with one: a cancel waits for it.
        self.batch = max(1, 8 // self.views) if self._device.type != "cpu" else 1
        self._start()

    def _start(self) -> None:
        from napari_ssan.engine.error_network import ErrorEstimator
        from napari_ssan.network.inference import Runner

        self._runner = Runner(self._network, self._device, views=self.views)
        self.estimator = ErrorEstimator(self._device)

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""

        def image(first: Tensor, second: Tensor, places: Tensor) -> tuple[Tensor, ...]:
            return (self._runner.synthesize(first, second, places),)

        return self._run(image, previous, following, position)[0]

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """See :meth:`Method.with_error`."""

        def both(first: Tensor, second: Tensor, places: Tensor) -> tuple[Tensor, ...]:
            made = self._runner.synthesis(first, second, places)
            return made.image, self.estimator(first, second, made)

        image, error = self._run(both, previous, following, position)
        return image, error

    def _run(
        self,
        work: Callable[..., tuple[Tensor, ...]],
        previous: Float,
        following: Float,
        position: float,
    ) -> list[Float]:
        """Do work on the device, as many tiles at a time as it holds."""
        import torch

        done: list[list[Float]] = []
        start = 0
        while start < len(previous):
            part = slice(start, start + self.batch)
            try:
                first, second = (
                    torch.from_numpy(x[part]).unsqueeze(1).to(self._device)
                    for x in (previous, following)
                )
                made = work(first, second, first.new_full((len(first),), position))
                done.append([one[:, 0].float().cpu().numpy() for one in made])
            except torch.cuda.OutOfMemoryError:
                self._shrink()
                continue
            start = part.stop
        return [np.concatenate(parts) for parts in zip(*done, strict=True)]

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


def make_method(
    name: str,
    model: str,
    device: str,
    report: Report,
    match: str = "auto",
    views: int | None = None,
) -> Method:
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
    views : int, optional
        One of :data:`VIEWS`, for the network; default is the model's own.

    Raises
    ------
    BadInput
        If there is no such method, model, device, match or number of views.
    """
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    if match not in MATCHES:
        raise BadInput(f"Grey values are matched by one of {', '.join(MATCHES)}, not by {match!r}.")
    if views is not None and views not in VIEWS:
        raise BadInput(f"The network averages over 1, 2, 4 or 8 views, not over {views}.")
    if name == "ssan":
        method: Method = Network(model, device, report, views)
    elif views is not None:
        raise BadInput(f"The method {name!r} has no views to average over; leave them out.")
    elif device not in ("auto", "cpu"):
        raise BadInput(f"The method {name!r} runs on the CPU only; leave the device at auto.")
    else:
        method = Classical(name)
    if match != "auto":
        method.match = match
    return method


def views_of(info: ModelInfo) -> int:
    """How many views a model averages over by its card; 1 where that makes no sense."""
    views = info.card.get("views")
    return views if isinstance(views, int) and views in VIEWS else 1


def copy(previous: Float, following: Float, position: float) -> Float:
    """The nearer section, the previous one if both are."""
    return previous if position <= 0.5 else following


def average(previous: Float, following: Float, position: float) -> Float:
    """Both sections, weighed by nearness."""
    return (1 - position) * previous + position * following
