"""One open stack: its session, its layers, its sidecar, and the work on it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ssan.engine.methods import TILING
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice, Progress
from napari_ssan.session.jobs import RepairJob
from napari_ssan.session.kept_method import KeptMethod
from napari_ssan.session.rates import tile_pixels
from napari_ssan.session.saved import Saved
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Found, Sidecar
from napari_ssan.session.suggestions import Suggestions
from napari_ssan.stack.marks import Mark
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.autosave import Autosave
from napari_ssan.widgets.repair.drawing import Drawing
from napari_ssan.widgets.repair.export_work import Export, Reviewed
from napari_ssan.widgets.repair.file_record import FileRecord
from napari_ssan.widgets.repair.layer_work import LayerWork, Stopwatch
from napari_ssan.widgets.repair.marks_layer import MarksLayer
from napari_ssan.widgets.repair.result_layers import ResultLayers
from napari_ssan.widgets.repair.review import Review
from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.repair.volume_work import VolumeWork, original_stack
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import (
    earlier_repairs,
    full_resolution,
    owner_of,
    source_files,
    source_path,
    unwrap,
)
from napari_ssan.widgets.shared.sessions import SESSIONS
from napari_ssan.workers import Report, TaskQueue

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class StackController:
    """Brings the session, the layers of the viewer and the workers together.

    Small work (outlines, saving) goes to the queue `quick`, long work (repair, export) to `slow`.
    `kept` has what was loaded for a repair already.
    """

    #: Something that the dock shows has changed.
    changed = Signal()
    #: What a repair had to say; all of it so far.
    noted = Signal(str)
    #: What it repairs with, and the seconds that this takes for a megapixel of tiles in one view.
    timed = Signal(How, float)

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        stack: SliceStack,
        quick: TaskQueue,
        slow: TaskQueue,
        kept: KeptMethod,
    ) -> None:
        self.viewer = viewer
        self.image = image
        self.stack = stack
        self._quick, self._slow, self._kept = quick, slow, kept
        self.work = LayerWork(slow)
        self.work.changed.connect(self._on_work)
        self._autosave = Autosave(quick)
        self._autosave.failed.connect(messages.warn)
        self.session = RepairSession(stack, self._autosave.save)
        SESSIONS.add(image, self.session)
        self.marks = MarksLayer(viewer, image, stack)
        self.results = ResultLayers(viewer, image, self.session)
        suggestions = Suggestions(self.session, self._autosave.save_rejected)
        self.review = Review(viewer, image, self.session, self.work, self.results, suggestions)
        self.review.changed.connect(self.changed.emit)
        self.review.suggestions.changed.connect(self._draw_marks)
        self.record = FileRecord(image, self.session, self.results)
        self.volume = VolumeWork(image, self.results, self.record, self.work)
        self.volume.changed.connect(self.changed.emit)
        self.offer: Saved | None = None
        self.rows = self.session.rows()
        #: Pixels of the tiles of what is pending, in one view.
        self.pending_pixels = 0
        self._notes: dict[str, None] = {}
        self.closed = False
        self.session.changed.connect(self._on_session)
        self.session.patched.connect(self._on_patched)
        self._drawing = Drawing(self.session, self.marks, quick)
        self.marks.drawing_changed.connect(self.changed.emit)
        self.results.changed.connect(self._on_results)
        image.events.data.connect(self._on_replaced)
        self.record.find(quick)
        self.volume.find(quick)
        self._open()

    # ---- marks

    def draw(self, on: bool) -> None:
        """Take up the lasso, or put it down."""
        if on and self.results.longer:
            self.results.before(True)  # what is drawn belongs to sections of the original
        self.marks.draw(on)
        if on:
            self.marks.show(self.session.marks.by_key())

    def unmark(self, marks: tuple[tuple[int, int], ...]) -> None:
        """Forget marks, and the shapes that they were drawn with."""
        self._drawing.follow(lambda: self.session.unmark(marks))

    def undo(self, again: bool = False) -> None:
        """Take back the last thing that was done to the marks; `again` brings it back."""
        before = self.results.synthetic
        self._drawing.follow(lambda: self.session.undo(again))
        if self.results.synthetic and not before:
            self.results.ensure()  # what was discarded comes back

    def answer(self, yes: bool) -> None:
        """Restore or discard what was saved."""
        if self.offer is not None:
            offer, self.offer = self.offer, None
            if yes:
                self._restore(offer)
            else:
                self.session.discard(offer)
            self._autosave.held = False
            self._autosave.save(self.session.saved())
        self.changed.emit()

    # ---- work

    def repair(self, how: How, only: Mark | None = None) -> None:
        """Queue a repair of what is pending, or of one mark.

        Raises
        ------
        BadInput
            If nothing is.
        """
        job = self.session.claim(only)
        self.results.ensure()
        self.noted.emit("")
        self._notes.clear()
        run = partial(job.run, **asdict(how), sidecar=self._autosave.sidecar, kept=self._kept)
        task = self.work.start(run, "Waiting for its turn…")
        task.reported.connect(partial(self._on_repair, job, Stopwatch(how)))
        task.ended.connect(partial(self._on_repaired, job))

    def export(
        self,
        path: Path,
        mask: bool,
        error: bool,
        report: bool = False,
        accepted_only: bool = False,
    ) -> None:
        """Queue writing the repaired stack to a file, and what is known of its pixels to others."""
        layer = self.results.layer if self.results.layer is not None else self.image
        work = Export(
            path,
            self.session.snapshot(accepted_only),
            dict(layer.as_layer_data_tuple()[1]),
            source_files(self.image),
            mask,
            error,
            Reviewed(self.image.name, self.session.accepted, earlier_repairs(self.image))
            if report
            else None,
        )
        task = self.work.start(work.run, work.title)
        task.succeeded.connect(
            lambda written: messages.tell("Exported " + ", ".join(p.name for p in written) + ".")
        )

    def cancel(self) -> None:
        """Stop what runs for this layer; what is finished stays."""
        self.work.cancel()

    def close(self, viewer_gone: bool = False) -> None:
        """Stop the work, let go of the layers, save, and leave the sidecar to others.

        The layers stay, unless they are gone with their viewer. Saving goes on in the workers
        after this returns. Can be called twice.
        """
        if self.closed:
            return
        self.closed = self.record.closed = True
        self.work.cancel()
        self.image.events.data.disconnect(self._on_replaced)
        if not viewer_gone:
            self.marks.close()
            self.review.close()
            self.results.close()
        if self.work.idle:  # else when it has ended
            self._autosave.close()

    # ---- within

    def _on_replaced(self, event: object = None) -> None:
        """Say that a repair goes on with the pixels from before: marks and results are theirs."""
        now = full_resolution(self.image.data)
        if now is not unwrap(self.stack.data):
            messages.warn(
                f"The pixels of {self.image.name} were replaced, but what is marked and repaired "
                "here is what was there before: add the new pixels as a layer of their own."
            )

    def _open(self, again: bool = False) -> None:
        # A repaired layer whose original is gone is a stack of its own, not that of the file.
        derived = owner_of(self.image) is not None
        source = None if derived else source_path(self.image)

        def work(report: Report, cancel: Flag) -> tuple[Sidecar | None, Found]:
            import_module("pandas")  # napari's shapes need it, and the first lasso would wait
            known = None if source is None else original_stack(source)
            sidecar = Sidecar.of(known or self.stack, source, derived)
            return (sidecar, sidecar.read(self.stack)) if sidecar.acquire() else (None, Found())

        task = self._quick.submit(work)
        # Qt holds methods weakly; the sidecar must be let go even if the layer is gone by then.
        task.succeeded.connect(partial(StackController._on_opened, self, again))
        task.failed.connect(messages.report)

    def _open_later(self) -> None:
        """Try once more when what is being stopped has ended, and has been saved."""

        def open_again() -> None:
            if not self.closed:
                self._open(again=True)

        def wait_for_saving() -> None:
            self._quick.submit(lambda report, cancel: None).ended.connect(open_again)

        self._slow.submit(lambda report, cancel: None).ended.connect(wait_for_saving)

    def _on_opened(self, again: bool, opened: tuple[Sidecar | None, Found]) -> None:
        self._autosave.sidecar, found = opened
        if self._autosave.sidecar is None and not again and self._slow.current is not None:
            self._open_later()
            return
        if self._autosave.sidecar is None:
            messages.warn(
                "This stack is being repaired in another layer or window, too: what is done here "
                "stays in memory only; export it to keep it."
            )
        self.review.suggestions.known(found.rejected)
        for error in found.refused:
            messages.report(error)
        saved = found.saved
        if saved is not None:
            if saved.damage:
                messages.warn(saved.damage)
            # Left by a dock in this very viewer: nothing to ask.
            if not self.closed and self.results.adopt():
                self._restore(saved)
            else:
                self.offer = saved
        self._autosave.held = self.offer is not None
        self._autosave.write()
        self.changed.emit()

    def _restore(self, saved: Saved) -> None:
        """Take up what was saved, and add what was marked meanwhile."""
        marks = self.session.marks
        self.session.restore(saved)
        self.record.adopt()
        try:
            self.session.add(marks, "mark")
        except BadInput as error:
            messages.report(error)
        self.marks.show(self.session.marks.by_key())
        if saved.patches:
            self.results.ensure()
        if saved.lost:
            messages.warn(
                f"The saved pixels of {saved.lost} repairs are missing or damaged: "
                "repair their marks again."
            )

    def _draw_marks(self) -> None:
        """Draw the outlines of regions that were accepted."""
        if not self.closed:
            self.marks.show(self.session.marks.by_key())

    def _on_repair(self, job: RepairJob, watch: Stopwatch, event: object) -> None:
        if isinstance(event, Patch):
            self.session.take(event, job)
            if watch.rate is not None:
                self.timed.emit(watch.how, watch.rate)
        elif isinstance(event, Progress):
            watch.tick(event.pixels)
        elif isinstance(event, Notice):
            self._notes[event.text] = None
            self.noted.emit("\n".join(self._notes))

    def _on_repaired(self, job: RepairJob) -> None:
        self.session.release(job)
        if not self.closed and self.work.idle:  # else what waits shows its slices there
            self.results.remove_if_empty()

    def _on_work(self) -> None:
        if self.closed and self.work.idle:
            self._autosave.close()
        self.changed.emit()

    def _on_session(self) -> None:
        session = self.session
        self.rows = session.rows()
        self.pending_pixels = tile_pixels(session.marks, session.pending, self.stack.shape, TILING)
        self.changed.emit()

    def _on_patched(self, slots: Any) -> None:
        if not self.closed:
            self.results.refresh()
            self._hide_marks()
            self._make_means()

    def _make_means(self) -> None:
        if not self.closed and self.results.layer is not None:
            again = self.results.refresh
            self.results.pyramid.make_means(self._quick, lambda: None if self.closed else again())

    def _on_results(self) -> None:
        self._hide_marks()
        self._make_means()
        self.changed.emit()

    def _hide_marks(self) -> None:
        """Show the outlines over the original alone, where sections are inserted."""
        self.marks.hide(self.results.shown and self.results.longer)
        self.review.follow()
