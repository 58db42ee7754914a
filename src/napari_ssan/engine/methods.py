"""Ways to synthesize a section from its neighbours: the network, and its baselines.

A method knows tiles on the network's scale, and nothing of stacks, marks or grey values. It
is immutable: where a GPU's memory is full, work goes on with another one,
:meth:`Method.smaller`, that shares its weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.registration import optical_flow_ilk, optical_flow_tvl1

from napari_ssan.engine.device import free_gpu
from napari_ssan.engine.tiles import Tiling
from napari_ssan.engine.warps import Warp, block_flow, unmoved, warp_halfway
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice
from napari_ssan.stack.intensity import Float

if TYPE_CHECKING:
    import torch

    from napari_ssan.engine.error_network import ErrorEstimator
    from napari_ssan.network.inference import Runner
    from napari_ssan.network.model_file import ModelInfo
    from napari_ssan.network.ssan import SSAN

#: Names of the methods, the network first.
METHODS = ("ssan", "copy", "average", "registered", "ilk", "tvl1")
#: Ways to fit grey values to the neighbours'.
MATCHES = ("auto", "mean", "histogram")
#: Numbers of views that the network may average over.
VIEWS = (1, 2, 4, 8)
#: Tiles of the usual network: larger ones are no quicker, and take more memory; smaller ones
#: overlap more (``docs/experiments/speed.md``).
TILING = Tiling(640, 48, multiple=64, context=32)
#: Tiles of a flow, which needs surroundings. Up to here a section is one tile.
FLOW_TILING = Tiling(1024, 128, context=128, smallest=256)

#: Waits for what was begun: the section's tiles and, if they were asked for, their errors.
Pending = Callable[[], tuple[Float, ...]]


class MemoryFull(Exception):
    """The tiles do not fit into the GPU's memory; :meth:`Method.smaller` may do."""


@dataclass(frozen=True, eq=False)
class Method(ABC):
    """How tiles are synthesized.

    Attributes
    ----------
    name : str
        As in :data:`METHODS`.
    tiling : Tiling
        Size of tiles, and what adjacent ones share.
    batch : int
        Tiles that are worked on at once.
    match : {"mean", "histogram"}
        Whether the result takes over mean and contrast of the neighbours as the
        method gives them, or their whole distribution.
    views : int
        Mirrored and turned views that are averaged over.
    model : ModelInfo or None
        The weights, for the network.
    """

    name: str
    _: KW_ONLY
    tiling: Tiling
    batch: int = 1
    match: str = "mean"
    views: int = 1
    model: ModelInfo | None = None

    @abstractmethod
    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """(tiles, height, width) of both neighbours, normalized, to the same of the section.

        Raises
        ------
        MemoryFull
            If so many tiles do not fit into the GPU's memory.
        """

    @abstractmethod
    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """As :meth:`synthesize`, and the expected absolute error of each pixel, on that scale."""

    @property
    def ahead(self) -> int:
        """How many batches to begin before the first of them is waited for."""
        return 0

    def begin(
        self, previous: Float, following: Float, position: float, *, with_error: bool
    ) -> Pending:
        """As :meth:`synthesize` or :meth:`with_error`; a GPU works while its caller goes on."""
        if with_error:
            made: tuple[Float, ...] = self.with_error(previous, following, position)
        else:
            made = (self.synthesize(previous, following, position),)
        return lambda: made

    def smaller(self) -> Method:
        """The same method with half the batch."""
        return replace(self, batch=max(1, self.batch // 2))


@dataclass(frozen=True)
class LessMemory(Notice):
    """The GPU's memory is full: work goes on with another method, which needs less of it."""

    method: Method


WARPS: dict[str, Warp] = {
    "copy": unmoved,
    "average": unmoved,
    "registered": partial(warp_halfway, estimate=block_flow),
    "ilk": partial(warp_halfway, estimate=optical_flow_ilk),
    "tvl1": partial(warp_halfway, estimate=optical_flow_tvl1),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Classical(Method):
    """Copy, average, and average along a registration or a flow: no weights, no torch.

    Attributes
    ----------
    estimator : ErrorEstimator or None
        What estimates errors; None for the usual one, which brings in torch when it is needed.
    """

    tiling: Tiling = FLOW_TILING
    estimator: ErrorEstimator | None = None

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        return self._mix(*self._warps(previous, following, position), position)

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """See :meth:`Method.with_error`."""
        import torch

        from napari_ssan.network.ssan import Synthesis

        warp0, warp1 = self._warps(previous, following, position)
        image = self._mix(warp0, warp1, position)
        mask = self._mix(np.ones_like(image), np.zeros_like(image), position)
        tiles = (previous, following, image, warp0, warp1, mask)
        first, second, *made = (torch.from_numpy(tile).unsqueeze(1) for tile in tiles)
        estimator = self.estimator or _estimator_on_cpu()
        return image, estimator(first, second, Synthesis(*made))[:, 0].numpy()

    def _mix(self, previous: Float, following: Float, position: float) -> Float:
        return (copy if self.name == "copy" else average)(previous, following, position)

    def _warps(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        warp, pairs = WARPS[self.name], zip(previous, following, strict=True)
        warp0, warp1 = zip(*(warp(a, b, position) for a, b in pairs), strict=True)
        return np.stack(warp0), np.stack(warp1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network(Method):
    """SSAN on a device.

    Attributes
    ----------
    network : SSAN
        The weights, as they were loaded.
    runner, estimator : Runner, ErrorEstimator
        Network and estimate of errors on the device.
    """

    network: SSAN
    runner: Runner
    estimator: ErrorEstimator

    @classmethod
    def load(cls, model: str, device: str, match: str = "auto", views: int = 1) -> Network:
        """Load the network; parameters and errors are those of :func:`make_method`."""
        from napari_ssan.network.device import choose_device
        from napari_ssan.network.model_file import load_model

        where = choose_device(device)
        loaded = load_model(model)
        return cls(
            "ssan",
            tiling=network_tiling(loaded.network.config.multiple, loaded.tile),
            # As much work at a time with many views as with one: a cancel waits for it.
            batch=max(1, 8 // views) if where.type != "cpu" else 1,
            match=str(loaded.info.card.get("match", "mean")) if match == "auto" else match,
            views=views,
            model=loaded.info,
            network=loaded.network,
            **_on_device(loaded.network, where, views),
        )

    @property
    def ahead(self) -> int:
        """A GPU works on the next batch while the processor blends the last one."""
        return 1 if self.runner.device.type == "cuda" else 0

    def synthesize(self, previous: Float, following: Float, position: float) -> Float:
        """See :meth:`Method.synthesize`."""
        return self.begin(previous, following, position, with_error=False)()[0]

    def with_error(self, previous: Float, following: Float, position: float) -> tuple[Float, Float]:
        """See :meth:`Method.with_error`."""
        image, error = self.begin(previous, following, position, with_error=True)()
        return image, error

    def smaller(self) -> Method:
        """The same network with half the batch; on the CPU if that is a single tile."""
        import torch

        free_gpu()
        if self.batch > 1:
            return super().smaller()
        return replace(self, **_on_device(self.network, torch.device("cpu"), self.views))

    def begin(
        self, previous: Float, following: Float, position: float, *, with_error: bool
    ) -> Pending:
        """See :meth:`Method.begin`."""
        import torch

        from napari_ssan.network.device import from_device, to_device

        try:
            first, second = (
                to_device(x[:, None], self.runner.device) for x in (previous, following)
            )
            made = self.runner.synthesis(first, second, first.new_full((len(first),), position))
            parts = [made.image, *([self.estimator(first, second, made)] if with_error else [])]
            return from_device([part[:, 0].float() for part in parts])
        except torch.cuda.OutOfMemoryError:
            raise MemoryFull from None


def make_method(
    name: str, model: str, device: str, match: str = "auto", views: int | None = None
) -> Method:
    """A method by its name.

    Parameters
    ----------
    name : str
        One of :data:`METHODS`.
    model : str
        For the network: name of a bundled model, or path of one.
    device : str
        For the network: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    match : {"auto", "mean", "histogram"}
        How grey values are fitted to the neighbours'; ``auto`` is the method's own way.
    views : int, optional
        One of :data:`VIEWS`, for the network, see
        :class:`~napari_ssan.network.inference.Runner`; default is 1.

    Raises
    ------
    BadInput
        If there is no such method, model, device, match or number of views.
    """
    if name not in METHODS:
        raise BadInput(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    if match not in MATCHES:
        raise BadInput(f"Grey values are matched by one of {', '.join(MATCHES)}, not by {match!r}.")
    check_views(views)
    if name == "ssan":
        return Network.load(model, device, match, views or 1)
    if views is not None:
        raise BadInput(f"The method {name!r} has no views to average over; leave them out.")
    if device not in ("auto", "cpu"):
        raise BadInput(f"The method {name!r} runs on the CPU only; leave the device at auto.")
    tiling = TILING if WARPS[name] is unmoved else FLOW_TILING
    return Classical(name, tiling=tiling, match="mean" if match == "auto" else match)


def check_views(views: int | None) -> None:
    """Refuse a number of views that is not one of :data:`VIEWS`, nor None.

    Raises
    ------
    BadInput
    """
    if views is not None and views not in VIEWS:
        raise BadInput(f"The network averages over 1, 2, 4 or 8 views, not over {views}.")


def copy(previous: Float, following: Float, position: float) -> Float:
    """The nearer section, the previous one if both are."""
    return previous if position <= 0.5 else following


def average(previous: Float, following: Float, position: float) -> Float:
    """Both sections, weighed by nearness."""
    return (1 - position) * previous + position * following


def network_tiling(multiple: int, trained: int) -> Tiling:
    """Tiles of a network: none larger than what the attention takes easily, or was trained on.

    Parameters
    ----------
    multiple : int
        As in :class:`~napari_ssan.network.ssan.SSANConfig`.
    trained : int
        Height and width of the training crops.
    """
    # Up to here, no more than 16 x 16 positions attend to each other.
    largest = max(min(TILING.largest, 16 * multiple), trained)
    overlap = min(TILING.overlap, largest // 2)
    return replace(TILING, largest=largest, overlap=overlap, multiple=multiple)


def _on_device(network: SSAN, device: torch.device, views: int) -> dict[str, Any]:
    """What a network needs to run on a device."""
    from napari_ssan.engine.error_network import ErrorEstimator
    from napari_ssan.network.inference import Runner

    return {"runner": Runner(network, device, views=views), "estimator": ErrorEstimator(device)}


@cache
def _estimator_on_cpu() -> ErrorEstimator:
    import torch

    from napari_ssan.engine.error_network import ErrorEstimator

    return ErrorEstimator(torch.device("cpu"))
