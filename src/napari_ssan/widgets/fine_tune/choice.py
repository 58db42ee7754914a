"""The stack to learn from, and the region of it; makes requests for training."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_ssan.errors import BadInput
from napari_ssan.finetune.config import FineTuneConfig
from napari_ssan.widgets.fine_tune.backend import TrainingRequest
from napari_ssan.widgets.fine_tune.region import region_layers, window_finder
from napari_ssan.widgets.shared.layers import earlier_repairs, go_to, source_path, stack_of
from napari_ssan.widgets.shared.sessions import SESSIONS
from napari_ssan.widgets.shared.stacks import Stacks
from napari_ssan.widgets.shared.state import EMPTY

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event

#: Events of Shapes and Labels layers after drawing.
DRAWN = ("data", "paint", "labels_update")


class StackChoice(Stacks):
    """The chosen stack, and the layers (`regions`) that a region may be drawn on."""

    #: The list of layers has changed.
    listed = Signal()
    #: The marks of the chosen stack, or the drawing of the region, have changed.
    drawn = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self.regions: list[Layer] = []
        self._watched: Layer | None = None
        self._strokes = 0
        self._events.append((SESSIONS.changed, self._on_marks))

    def go_to(self, z: int) -> None:
        """Show a section."""
        if self.stack is not None and self.layer is not None:
            go_to(self._viewer, self.layer, self.stack.z_axis, z)

    def request(
        self, config: FineTuneConfig, first: int, last: int, region: int, threads: int | None
    ) -> tuple[TrainingRequest, Hashable]:
        """Make a request for training.

        Parameters
        ----------
        config, first, last, threads : FineTuneConfig, int, int, int or None
            As in :class:`TrainingRequest`.
        region : int
            Index of the layer with the region to learn from; 0 is the whole section.

        Returns
        -------
        request : TrainingRequest
            What to learn, and from what.
        key : hashable
            Requests with the same key use the same slices.

        Raises
        ------
        BadInput
            If there is no stack to learn from.
        """
        if self.layer is None:
            raise BadInput(EMPTY)
        stack = stack_of(self.layer)  # again, in case the layer was given other data
        session = SESSIONS.of(self.layer)
        marks = None if session is None else session.marks
        drawing = self._region(region)
        request = TrainingRequest(
            config=config,
            threads=threads,
            stack=stack,
            title=str(self.layer.name),
            path=source_path(self.layer),
            marks=marks,
            synthetic=earlier_repairs(self.layer).numbers,
            first=first,
            last=last,
            window=window_finder(drawing, self.layer, stack),
        )
        what = (self.layer.unique_id, id(stack.data), self._strokes)
        marked = None if marks is None else marks.to_json()
        where = None if drawing is None else drawing.unique_id
        key = (*what, marked, where, first, last, config.base, config.share)
        return request, key

    def watch(self, index: int) -> None:
        """Follow the drawing on a layer, by its index in the list of regions; 0 is none."""
        region = self._region(index)
        if region is self._watched:
            return
        self._connect_region(False)
        self._watched = region
        self._connect_region(True)

    def close(self) -> None:
        """Stop following the viewer."""
        super().close()
        self._connect_region(False)

    def _region(self, index: int) -> Layer | None:
        return self.regions[index - 1] if 0 < index <= len(self.regions) else None

    def _connect_region(self, on: bool) -> None:
        if self._watched is None:
            return
        for name in DRAWN:
            event = getattr(self._watched.events, name, None)
            if event is not None:
                (event.connect if on else event.disconnect)(self._on_drawn)

    def _on_listed(self) -> None:
        self.regions = region_layers(self._viewer)
        self.listed.emit()

    def _on_marks(self, key: object) -> None:
        if self.layer is not None and key == self.layer.unique_id:
            self.drawn.emit()

    def _on_drawn(self, event: Event | None = None) -> None:
        self._strokes += 1
        self.drawn.emit()
