"""The zarr volume that a stack was opened from: written into, put back, handed to a cluster.

What is done to it is for :mod:`napari_ssan.volumes`; here it is started, and session and layers
follow. Easy to get wrong: what is in the volume is no repair of the session any more, but synthetic
in the file, as it would be if the file were opened now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ssan.atomic import write_atomically
from napari_ssan.engine.repaired import RepairedStack
from napari_ssan.errors import BadInput, Cancelled
from napari_ssan.events import Stage
from napari_ssan.session.jobs import Tell
from napari_ssan.stack.marks_io import format_slices
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.file_record import FileRecord
from napari_ssan.widgets.repair.layer_work import LayerWork
from napari_ssan.widgets.repair.result_layers import ResultLayers
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import earlier_repairs, owner_of, source_path
from napari_ssan.workers import TaskQueue

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_ssan.volumes.run import Outcome


class VolumeWork:
    """What can be done to the volume of a stack.

    Attributes
    ----------
    path : Path or None
        The volume; None if the stack is no zarr store of this computer.
    restorable : bool
        Whether it was repaired in place, so that its originals are kept.
    """

    #: One of these is not what it was.
    changed = Signal()

    def __init__(
        self, image: Image, results: ResultLayers, record: FileRecord, work: LayerWork
    ) -> None:
        self.path: Path | None = None
        self.restorable = False
        self._image, self._results, self._record, self._work = image, results, record, work
        self._session = results.session

    def find(self, queue: TaskQueue) -> None:
        """Look for the volume."""
        self._queue = queue
        source = None if owner_of(self._image) is not None else source_path(self._image)
        if source is not None:
            task = queue.submit(lambda report, cancel: _look(source))
            task.succeeded.connect(partial(VolumeWork._on_found, self, source))
            task.failed.connect(messages.report)

    def put(self, accepted_only: bool) -> None:
        """Queue writing what is repaired into the volume."""
        path, repaired = self._volume, self._session.snapshot(accepted_only)
        task = self._work.start(
            lambda tell, cancel: _put(path, repaired, tell, cancel), f"Writing into {path.name}…"
        )
        task.succeeded.connect(partial(VolumeWork._on_put, self, repaired))
        task.cancelled.connect(
            lambda: messages.tell(
                f"Stopped: part of it is in {path.name}. Export again to go on, or restore it."
            )
        )
        task.ended.connect(partial(VolumeWork._follow, self))

    def restore(self) -> None:
        """Queue putting the originals back."""
        from napari_ssan.volumes.restore import restore

        path = self._volume
        task = self._work.start(
            lambda tell, cancel: restore(path, lambda text: tell(Stage(text))),
            f"Restoring {path.name}…",
        )
        task.succeeded.connect(
            lambda found: messages.tell(f"{path.name} has its original pixels again.")
        )
        task.succeeded.connect(partial(VolumeWork._follow, self))
        task.failed.connect(partial(VolumeWork._follow, self))

    def hand_over(self, file: Path, then: Callable[[], object]) -> None:
        """Write all marks to a file, but those of what is synthetic in the volume.

        Raises
        ------
        BadInput
            If there are none that can be repaired in place.
        """
        marks = self._session.saved().marks
        if not marks:
            raise BadInput("Nothing is to be repaired: mark a slice or a region first.")
        if marks.missing:
            raise BadInput(
                "Missing slices cannot be inserted in place: unmark them, or repair here and "
                "export to a new file."
            )
        task = self._queue.submit(lambda report, cancel: write_atomically(file, marks.to_json()))
        task.succeeded.connect(lambda written: then())
        task.failed.connect(messages.report)

    @property
    def _volume(self) -> Path:
        assert self.path is not None  # else it is not offered
        return self.path

    def _on_found(self, path: Path, found: tuple[bool, bool]) -> None:
        is_volume, self.restorable = found
        self.path = path if is_volume else None
        self.changed.emit()

    def _on_put(self, repaired: RepairedStack, outcome: Outcome) -> None:
        for sections, why in outcome.failed:
            messages.warn(f"Slices {format_slices(sections)} could not be written: {why}")
        # What was repaired anew meanwhile is not in the volume yet.
        known = self._session.repaired
        slots = [(z, 0) for z in outcome.sections]
        same = [slot for slot in slots if known.patches(slot) == repaired.patches(slot)]
        self._session.written(same)
        count = f"{len(slots)} slice{'' if len(slots) == 1 else 's'}"
        messages.tell(f"Wrote {count} into {self._volume.name}; their originals are kept.")

    def _follow(self, result: object = None) -> None:
        """See what the volume says now, and show its pixels."""
        before = earlier_repairs(self._image).numbers
        self.find(self._queue)
        task = self._record.read_again(self._queue)
        task.succeeded.connect(partial(VolumeWork._on_read, self, before))

    def _on_read(self, before: frozenset[int], record: object) -> None:
        """What was synthetic, and is not any more, is to be repaired again."""
        self._session.unwritten(before - earlier_repairs(self._image).numbers)
        if not self._record.closed and self._work.idle:  # else what waits shows its slices there
            self._results.remove_if_empty()


def original_stack(path: Path) -> SliceStack | None:
    """A volume as it was before it was first repaired in place; None if it was not.

    Marks are kept by what a stack looks like, so they are still found afterwards.
    """
    from napari_ssan.volumes.originals import original_stack
    from napari_ssan.volumes.status import begun

    return original_stack(path) if begun(path) else None


def _look(path: Path) -> tuple[bool, bool]:
    """Whether a path is a volume that may be changed in place, and whether it was."""
    from napari_ssan.files.open_zarr import is_zarr
    from napari_ssan.volumes.status import begun

    return (path.is_dir() and is_zarr(path)), begun(path)


def _put(path: Path, repaired: RepairedStack, tell: Tell, cancel: Flag) -> Outcome:
    from napari_ssan.volumes.drive import SlabsDone
    from napari_ssan.volumes.put import put_in_place

    count = [0, 0]

    def said(item: Any) -> None:
        if cancel.is_set():
            raise Cancelled
        if isinstance(item, SlabsDone):
            count[:] = item.done, item.total
        elif isinstance(item, (Stage, str)):
            tell(Stage(item if isinstance(item, str) else item.text, *count))

    return put_in_place(path, repaired, said)
