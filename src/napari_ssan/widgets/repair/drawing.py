"""From outlines that the user draws to marked regions, and back to shapes when marks change.

Pixels inside an outline are found in a worker. Easy to get wrong: meanwhile the shape may be
deleted again, or its image; the first marks nothing, the second is still saved.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event as Flag

from napari_ssan.errors import BadInput
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.region import Region
from napari_ssan.widgets.repair.marks_layer import MarksLayer, Outline
from napari_ssan.widgets.shared import messages
from napari_ssan.workers import TaskQueue

Found = list[tuple[str, int, Region | BadInput]]


class Drawing:
    """Keeps the marks of a session and the shapes on its layer alike."""

    def __init__(self, session: RepairSession, layer: MarksLayer, queue: TaskQueue) -> None:
        self._session, self._layer, self._queue = session, layer, queue
        layer.drawn.connect(self._on_drawn)
        layer.erased.connect(session.remove_regions)
        layer.refused.connect(messages.warn)

    def follow(self, change: Callable[[], object]) -> None:
        """Change the marks, and have the shapes that they were drawn with follow."""
        before = self._session.marks.by_key()
        change()
        now = self._session.marks.by_key()
        self._layer.erase(before.keys() - now.keys())
        self._layer.show({key: found for key, found in now.items() if key not in before})

    def _on_drawn(self, outlines: dict[str, tuple[int, Outline]]) -> None:
        shape = self._session.stack.shape[1:]
        known = self._session.marks.by_key()
        outlines = {key: found for key, found in outlines.items() if key not in known}
        if not outlines:
            return

        def work(report: object, cancel: Flag) -> Found:
            return [(key, z, _region(outline, shape)) for key, (z, outline) in outlines.items()]

        task = self._queue.submit(work)
        task.succeeded.connect(partial(Drawing._on_regions, self))  # Qt holds methods weakly
        task.failed.connect(messages.report)

    def _on_regions(self, found: Found) -> None:
        for key, z, region in found:
            if isinstance(region, BadInput):
                messages.report(region)
            elif self._layer.has(key):
                self._session.add_region(z, region)


def _region(outline: Outline, shape: tuple[int, int]) -> Region | BadInput:
    try:
        return Region.from_outline(outline, shape)
    except BadInput as error:
        return error
