"""One open stack: its session, its layers, its sidecar, and the work on it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_ssan.engine.methods import TILING
from napari_ssan.engine.repaired import Patch
from napari_ssan.errors import BadInput
from napari_ssan.events import Notice, Progress, Stage
from napari_ssan.inspection.blank import blank_sections
from napari_ssan.session.jobs import RepairJob, Tell
from napari_ssan.session.kept_method import KeptMethod
from napari_ssan.session.rates import tile_pixels
from napari_ssan.session.saved import Saved
from napari_ssan.session.session import RepairSession
from napari_ssan.session.sidecar import Sidecar
from napari_ssan.stack.sections import SliceStack
from napari_ssan.widgets.repair.autosave import Autosave
from napari_ssan.widgets.repair.drawing import Drawing
from napari_ssan.widgets.repair.layer_work import LayerWork, Stopwatch
from napari_ssan.widgets.repair.marks_layer import MarksLayer
from napari_ssan.widgets.repair.result_layers import ResultLayers
from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.layers import owner_of, source_files, source_path
from napari_ssan.widgets.shared.sessions import SESSIONS
from napari_ssan.workers import TaskQueue

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
        self.offer: Saved | None = None
        self.blank: list[int] = []
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

    def find_blank(self) -> None:
        """Look for lost slices; they are offered when they are found."""

        def work(report: Tell, cancel: Flag) -> list[int]:
            return blank_sections(self.stack, report, cancel)

        task = self.work.start(work, "Looking for blank slices…")
        task.succeeded.connect(self._on_blank)

    def answer(self, yes: bool) -> None:
        """Restore or discard what was saved, or mark blank slices that were found, or not."""
        if self.offer is not None:
            offer, self.offer = self.offer, None
            if yes:
                self._restore(offer)
            else:
                self.session.discard(offer)
            self._autosave.held = False
            self._autosave.save(self.session.saved())
        elif self.blank:
            blank, self.blank = self.blank, []
            if yes:
                self.session.mark(blank)
        self.changed.emit()

    # ---- work

    def repair(self, how: How) -> None:
        """Queue a repair of what is pending.

        Raises
        ------
        BadInput
            If nothing is.
        """
        job = self.session.claim()
        self.results.ensure()
        self.noted.emit("")
        self._notes.clear()
        run = partial(job.run, **asdict(how), sidecar=self._autosave.sidecar, kept=self._kept)
        task = self.work.start(run, "Waiting for its turn…")
        task.reported.connect(partial(self._on_repair, job, Stopwatch(how)))
        task.ended.connect(partial(self._on_repaired, job))

    def export(self, path: Path, mask: bool, error: bool) -> None:
        """Queue writing the repaired stack to a file, and what is known of its pixels to others."""
        from napari_ssan.files import check_output, error_path, mask_path, save_stack
        from napari_ssan.files.layer_calibration import layer_calibration

        repaired = self.session.snapshot()
        layer = self.results.layer if self.results.layer is not None else self.image
        meta = dict(layer.as_layer_data_tuple()[1])
        sources = source_files(self.image)
        title = f"Writing {path.name}…"

        def work(report: Tell, cancel: Flag) -> list[Path]:
            def tick(done: int, total: int) -> None:
                report(Stage(title, done, total))

            check_output(path, sources, overwrite=True, dtype=repaired.dtype)
            for wanted, beside in ((mask, mask_path), (error, error_path)):
                if wanted:
                    check_output(beside(path), sources, overwrite=True)
            return save_stack(
                path,
                repaired,
                layer_calibration(repaired, meta),
                overwrite=True,
                mask=mask,
                error=error,
                progress=tick,
                cancel=cancel,
            )

        task = self.work.start(work, title)
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
        self.closed = True
        self.work.cancel()
        if not viewer_gone:
            self.marks.close()
            self.results.close()
        if self.work.idle:  # else when it has ended
            self._autosave.close()

    # ---- within

    def _open(self, again: bool = False) -> None:
        # A repaired layer whose original is gone is a stack of its own, not that of the file.
        derived = owner_of(self.image) is not None
        source = None if derived else source_path(self.image)

        def work(report: object, cancel: Flag) -> tuple[Sidecar | None, Saved | BadInput | None]:
            sidecar = Sidecar.of(self.stack, source, derived)
            if not sidecar.acquire():
                return None, None
            try:
                return sidecar, sidecar.load(self.stack)
            except BadInput as error:
                return sidecar, error

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

    def _on_opened(
        self, again: bool, found: tuple[Sidecar | None, Saved | BadInput | None]
    ) -> None:
        self._autosave.sidecar, saved = found
        if self._autosave.sidecar is None and not again and self._slow.current is not None:
            self._open_later()
            return
        if self._autosave.sidecar is None:
            messages.warn(
                "This stack is being repaired in another layer or window, too: what is done here "
                "stays in memory only; export it to keep it."
            )
        if isinstance(saved, BadInput):
            messages.report(saved)
        elif saved is not None:
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
        session = self.session
        marks = session.marks
        session.restore(saved)
        try:
            session.mark(marks.whole)
        except BadInput as error:
            messages.report(error)
        for z, number in marks.missing.items():
            session.set_missing(z, number)
        for z, region in marks.by_key().values():
            session.add_region(z, region)
        self.marks.show(self.session.marks.by_key())
        if saved.patches:
            self.results.ensure()
        if saved.lost:
            messages.warn(
                f"The saved pixels of {saved.lost} repairs are missing or damaged: "
                "repair their marks again."
            )

    def _on_blank(self, found: list[int]) -> None:
        self.blank = [z for z in found if z not in self.session.marks.whole]
        if not self.blank:
            messages.tell("No blank slice was found that is not marked yet.")
        self.changed.emit()

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

    def _on_results(self) -> None:
        self._hide_marks()
        self.changed.emit()

    def _hide_marks(self) -> None:
        """Show the outlines over the original alone, where sections are inserted."""
        self.marks.hide(self.results.shown and self.results.longer)
