"""Suggestions for one stack: looks for them, leads through them, and outlines the present one.

What is suggested and decided is the session's. Easy to get wrong: the layer "Suggestion" is no
layer of marks; nothing that is drawn on it counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_ssan.inspection.find import Find, Inspection
from napari_ssan.inspection.inspect import inspect
from napari_ssan.inspection.view import View
from napari_ssan.session.session import RepairSession
from napari_ssan.session.suggestions import Outlines, Suggestions, outlines_of
from napari_ssan.stack.sections import SliceStack
from napari_ssan.training.machine import inspection_threads
from napari_ssan.widgets.repair.layer_work import LayerWork
from napari_ssan.widgets.repair.result_layers import ResultLayers
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.colours import SUGGESTED
from napari_ssan.widgets.shared.layers import (
    is_made_for,
    made_for,
    pixel_nm,
    placement,
    to_data_of,
    unwrap,
    use_of,
)
from napari_ssan.workers import Report

if TYPE_CHECKING:
    from threading import Event as Flag

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

NAME = "Suggestion"
#: Less probable finds are not suggested.
LEAST = 0.2
#: The outline is drawn this wide, as a share of the section.
EDGE = 1 / 300


class Review:
    """Leads a user through the suggestions for a stack.

    Attributes
    ----------
    suggestions : Suggestions
        What is open.
    current : Find or None
        The one that is shown.
    looked : bool
        Whether the stack was inspected.
    """

    #: What is suggested, or which one is shown, has changed.
    changed = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        session: RepairSession,
        work: LayerWork,
        results: ResultLayers,
        suggestions: Suggestions,
    ) -> None:
        self._viewer: Any = viewer
        self._image, self._session = image, session
        self._work, self._results = work, results
        self.suggestions = suggestions
        self.current: Find | None = None
        self.looked = False
        self._layer: Any = None
        self._beside = 1
        # Place of the present one among those that were open.
        self._place = 0
        self._closed, self._chosen = False, True
        # Where the outline is drawn along z.
        self._at = -1
        suggestions.changed.connect(self._on_open)

    @property
    def number(self) -> int:
        """Place of the present one among those that are open, from 0."""
        return -1 if self.current is None else self.suggestions.open.index(self.current)

    def inspect(self) -> None:
        """Look through the stack; what is found is suggested."""
        stack, image = self._session.stack, self._image
        data = unwrap(image.data)
        pixel = pixel_nm(image, stack.y_axis)

        def work(report: Report, cancel: Flag) -> None:
            levels = [SliceStack(each, stack.z_axis) for each in data] if image.multiscale else ()
            view, threads = View(stack, levels, pixel), inspection_threads(beside_gui=True)
            for event in inspect(view, workers=threads, cancel=cancel):
                if isinstance(event, Inspection):
                    found = event.at_least(LEAST)
                    report((found, outlines_of(found, stack.shape[1:])))
                else:
                    report(event)

        task = self._work.start(work, "Looking for broken slices…", "looking at ")
        task.reported.connect(self._on_reported)

    def step(self, by: int) -> None:
        """Show the next one, or the one before it, round and round."""
        still = self.suggestions.open
        if still:
            self._show(still[(self.number + by) % len(still)])

    def go_to(self, number: int) -> None:
        """Show the one with this number."""
        if 0 <= number < len(self.suggestions.open):
            self._show(self.suggestions.open[number])

    def accept(self) -> None:
        """Mark the present one, and show the next."""
        if self.current is not None:
            self.suggestions.accept([self.current])

    def accept_all(self, least: float) -> None:
        """Mark all that are at least so probable; sections to insert are asked for one by one."""
        still = self.suggestions.open
        self.suggestions.accept([find for find in still if find.p >= least and not find.gap])

    def reject(self) -> None:
        """Do not suggest the present one any more, and show the next."""
        if self.current is not None:
            self.suggestions.reject(self.current)

    def blink(self, on: bool) -> None:
        """Show a slice beside the present one while `on`: before it, then after it, in turn."""
        find = self.current
        if find is None:
            return
        if on:
            beside = find.z - self._beside
            inside = 0 <= beside < len(self._session.stack)
            self._results.go_to((beside if inside else find.z + self._beside, 0))
        else:
            self._beside = -self._beside
            self._results.go_to((find.z, 0))

    def choose(self, on: bool) -> None:
        """Show the outline, and lead the slider, only while this stack is the chosen one."""
        if on != self._chosen:
            self._chosen = on
            if not on:
                self._hide()
            elif self.current is not None:
                self._outline(self.current)

    def follow(self) -> None:
        """Draw the outline where its section is now: others may have been inserted before it."""
        if self.current is not None and self._chosen and self._at != self._index(self.current):
            self._outline(self.current)

    def close(self) -> None:
        """Take the outline away, and show none any more."""
        self._closed = True
        self._hide()

    def _hide(self) -> None:
        """Take the outline away, but keep its layer.

        Where Mesa draws, napari crashes at the next but one redraw after shapes were removed.
        """
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = []
            self._layer.visible = False

    def _on_reported(self, event: object) -> None:
        if isinstance(event, tuple) and not self._closed:
            self._on_found(*event)

    def _on_found(self, found: Inspection, outlines: Outlines) -> None:
        self.looked = True
        self.current = None
        self.suggestions.offer(found, outlines)
        if self.suggestions.open:
            self.go_to(0)
        else:
            messages.tell("Nothing was found that looks broken and is not marked yet.")
        self.changed.emit()

    def _on_open(self) -> None:
        """Go on where the present one was, if it is decided on."""
        still = self.suggestions.open
        if self.current not in still:
            self.current, last = None, self._place
            if still:
                self._show(still[min(last, len(still) - 1)])
                return
            self._hide()
        self._place = max(self.number, 0)
        self.changed.emit()

    def _show(self, find: Find) -> None:
        self.current = find
        self._place = self.number
        if self._chosen:
            self._results.go_to((find.z, 0))
            self._outline(find)
            self._centre(find)
        self.changed.emit()

    def _index(self, find: Find) -> int:
        """Where what was found lies along z, in what is on screen."""
        return self._results.index_of((find.z, 0))

    def _outline(self, find: Find) -> None:
        """Draw around what was found."""
        stack = self._session.stack
        height, width = stack.shape[1:]
        if find.region is None:
            frame = np.array([[0, 0], [0, width - 1], [height - 1, width - 1], [height - 1, 0]])
            outlines = [frame.astype(float)]
        else:
            parts = self.suggestions.outline(find)
            outlines = [np.array(part.outline) for part in parts if part.outline]
        polygons, self._at = [], self._index(find)
        for outline in outlines:
            points = np.zeros((len(outline), self._image.ndim))
            points[:, stack.z_axis] = self._at
            points[:, [stack.y_axis, stack.x_axis]] = outline
            polygons.append(points)
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = next((each for each in self._viewer.layers if self._is_ours(each)), None)
        if self._layer is None:
            active = self._viewer.layers.selection.active
            self._layer = self._viewer.add_shapes(
                ndim=self._image.ndim,
                name=NAME,
                metadata=made_for(self._image, NAME),
                **placement(self._image),
            )
            self._layer.editable = False
            if active is not None:
                self._viewer.layers.selection.active = active
        self._layer.visible = True
        self._layer.data = []
        self._layer.add_polygons(
            [to_data_of(self._layer, self._image, points) for points in polygons],
            edge_color=SUGGESTED,
            face_color="transparent",
            edge_width=max(0.8, EDGE * max(height, width)),
        )

    def _is_ours(self, layer: Layer) -> bool:
        """Whether a layer outlines suggestions for this stack, and was left by an earlier dock."""
        return use_of(layer) == NAME and is_made_for(layer, self._image)

    def _centre(self, find: Find) -> None:
        """Bring what is suggested to the middle of the canvas, unless all of it is on screen."""
        stack, image = self._session.stack, self._image
        if len(self._viewer.dims.point) < image.ndim:
            return
        height, width = stack.shape[1:]
        whole = (slice(0, height - 1), slice(0, width - 1))
        rows, columns = whole if find.region is None else find.region.window
        shown = image.corner_pixels * image.downsample_factors[image.data_level]
        low, high = shown[:, [stack.y_axis, stack.x_axis]]
        if (low <= (rows.start, columns.start)).all() and (high >= (rows.stop, columns.stop)).all():
            return
        point = np.zeros(image.ndim)
        point[stack.z_axis] = self._at
        point[stack.y_axis] = (rows.start + rows.stop) / 2
        point[stack.x_axis] = (columns.start + columns.stop) / 2
        world = np.asarray(image.data_to_world(point), float)
        y, x = world[stack.y_axis], world[stack.x_axis]
        camera = getattr(self._viewer, "scene", self._viewer).camera  # "scene" since napari 0.9
        camera.center = (*camera.center[:-2], y, x)
