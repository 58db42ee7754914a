"""What of a stack was synthetic already when its file was opened: known, marked, and tinted.

Our own reader leaves the record in the layer's metadata. The file is asked if another reader has
opened it, which is why this takes a worker.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ssan.engine.provenance import recorded_marks
from napari_ssan.errors import BadInput
from napari_ssan.session.session import RepairSession
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.result_layers import ResultLayers
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import METADATA, earlier_repairs, source_path, unwrap
from napari_ssan.workers import Task, TaskQueue

if TYPE_CHECKING:
    from napari.layers import Image


class FileRecord:
    """Brings the record of a layer's file to the session and to the overlay."""

    def __init__(self, image: Image, session: RepairSession, results: ResultLayers) -> None:
        self._image, self._session, self._results = image, session, results
        #: Whether the layer is gone.
        self.closed = False

    def find(self, queue: TaskQueue) -> None:
        """Look for the record, and take it up when it is found."""
        source, known = source_path(self._image), METADATA in unwrap(self._image.metadata)
        stack = self._session.stack
        task = queue.submit(
            lambda report, cancel: None if known or source is None else _read(source, stack)
        )
        task.succeeded.connect(partial(FileRecord._on_found, self))
        task.failed.connect(messages.report)

    def read_again(self, queue: TaskQueue) -> Task:
        """Read the record of a file that was changed."""
        source, stack = source_path(self._image), self._session.stack
        task = queue.submit(lambda report, cancel: source and _read(source, stack))
        task.succeeded.connect(partial(FileRecord._on_read_again, self))
        task.failed.connect(messages.report)
        return task

    def adopt(self) -> None:
        """Mark what is recorded, unless it is marked already."""
        try:
            self._session.adopt(recorded_marks(earlier_repairs(self._image), self._shape))
        except BadInput as error:
            messages.report(error)
        self.adopt_overlay()

    def adopt_overlay(self) -> None:
        """Take over the overlay that the reader has made, if it is in the viewer by now."""
        self._results.adopt_overlay(recorded_marks(earlier_repairs(self._image), self._shape))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self._session.stack.shape

    def _on_found(self, record: dict[str, Any] | None) -> None:
        if record is not None:
            self._image.metadata = {**unwrap(self._image.metadata), METADATA: record}
        self.adopt()

    def _on_read_again(self, record: dict[str, Any] | None) -> None:
        if not self.closed:
            known = unwrap(self._image.metadata).get(METADATA) or {}
            record = {**known, **(record or {"provenance": None})}
            self._image.metadata = {**unwrap(self._image.metadata), METADATA: record}
            self.adopt()
            self._results.renew()


def _read(path: Path, stack: SliceStack) -> dict[str, Any] | None:
    """What our reader would say of a file; None if it has no record, or holds another stack."""
    from napari_ssan.files import open_stack

    try:
        file = open_stack(path)
        if file.provenance is None or file.stack().shape != stack.shape:
            return None
    except BadInput:
        return None
    files = [str(one) for one in file.files]
    said = file.provenance.model_dump(mode="json")
    return {"path": str(path), "files": files, "provenance": said}
