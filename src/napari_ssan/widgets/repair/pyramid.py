"""What the layers of a repaired stack are given: as many levels as the original's layer has.

Easy to get wrong: napari takes what it shows of all sections of a pyramid first, and then the
section. So levels must be lazy to the end, or a step would read a window of the whole volume.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_ssan.session.session import RepairSession
from napari_ssan.stack.lazy import Every, Guarded, LazyVolume
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import unwrap
from napari_ssan.workers import TaskQueue

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_ssan.engine.repaired import RepairedStack
    from napari_ssan.volumes.repaired_levels import Made, RepairedLevel


class Pyramid:
    """Levels of the repaired stack of a session, and of what is known of its pixels.

    Attributes
    ----------
    levels : list of RepairedLevel
        Those below full resolution; none if the original has none.
    """

    def __init__(self, viewer: ViewerModel, image: Image, session: RepairSession) -> None:
        self._viewer, self._image, self._session = viewer, image, session
        self._made: Made = {}
        self.levels = self._over(session.repaired)

    @property
    def repaired(self) -> Any:
        """Data of the layer that shows the repaired stack."""
        return self._data([self._session.repaired, *self.levels])

    def sampled(self, volume: LazyVolume) -> Any:
        """Data of a layer that shows what is known of the pixels."""
        coarse = [
            Every(volume, level.span, level.scale, level.source.shape[1:]) for level in self.levels
        ]
        return self._data([volume, *coarse])

    @property
    def nbytes(self) -> int:
        """How much of it napari shows in 3-D: the coarsest level."""
        return self.levels[-1].nbytes if self.levels else self._session.repaired.nbytes

    def make_means(self, queue: TaskQueue, then: Callable[[], object]) -> None:
        """Make what coarse levels show of large patches, if there is something to be made."""
        if any(level.wanted() for level in self.levels):
            levels = self._over(self._session.snapshot())
            task = queue.submit(
                lambda report, cancel: [level.make(z) for level in levels for z in level.wanted()]
            )
            task.succeeded.connect(partial(_call, then))
            task.failed.connect(messages.report)

    def _over(self, repaired: RepairedStack) -> list[RepairedLevel]:
        if not self._image.multiscale:
            return []
        from napari_ssan.volumes.repaired_levels import repaired_levels  # brings in zarr

        z_axis = self._session.stack.z_axis
        sources = [SliceStack(unwrap(level), z_axis) for level in unwrap(self._image.data)]
        return repaired_levels(repaired, sources, self._made)

    def _data(self, volumes: list[LazyVolume]) -> Any:
        """Show a layer nothing too large for memory in a 3-D view.

        napari takes whatever reads like an array, but its types name numpy, dask and zarr.
        """
        guarded = [Guarded(each, self._in_3d, peels=bool(self.levels)) for each in volumes]
        return guarded if self.levels else guarded[0]

    def _in_3d(self) -> bool:
        return bool(self._viewer.dims.ndisplay == 3)


def _call(then: Callable[[], object], made: object) -> None:
    then()
