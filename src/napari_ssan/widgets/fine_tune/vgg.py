"""Asks where to get VGG16 from, if natural texture needs it and it is missing; and gets it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import psygnal
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from napari_ssan.losses.vgg_weights import SOURCE
from napari_ssan.widgets.fine_tune.backend import Backend
from napari_ssan.widgets.fine_tune.state import megabytes_text
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.parts import Column, ProgressRow, button, pairs, say, wrapped
from napari_ssan.workers import Task, TaskQueue, Work

WANTED = "Natural texture needs the weights of VGG16. Download 528 MB once? 31 MB are kept."


class VggPanel(Column):
    """A question with three answers, and the progress of the download."""

    download_pressed = Signal()
    file_pressed = Signal()
    without_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(spacing=4)
        self.column.setContentsMargins(0, 4, 0, 4)
        self.text = wrapped()
        self.download = button(
            "Download",
            f"Download the weights once ({SOURCE}) and check them",
            self.download_pressed.emit,
        )
        self.file = button(
            "Choose file…",
            "Use a file with the weights: .pth of torchvision, or .safetensors",
            self.file_pressed.emit,
        )
        self.without = button(
            "Train without",
            "Compare only pixels (the loss L_1): the result is smoother than real slices",
            self.without_pressed.emit,
        )
        self.progress = ProgressRow("Stop the download; nothing is kept")
        self.answers = Column(pairs(self.download, self.file), self.without, spacing=4)
        self.add(self.text, self.answers, self.progress)

    def show_question(self, wanted: bool, without: str) -> None:
        """Ask, or say that training goes without VGG16; hide the panel if both are empty."""
        self.progress.show_progress("")
        self.answers.setVisible(wanted)
        say(self.text, WANTED if wanted else without)
        self.setVisible(wanted or bool(without))

    def show_progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """Show the progress; if `total` is 0 the bar only moves."""
        self.setVisible(True)
        self.answers.setVisible(False)
        say(self.text, "")
        self.progress.show_progress(text, done, total)

    def ask_file(self) -> str:
        """Ask for the path of a file; empty if the user cancels."""
        kinds = "Weights of VGG16 (*.safetensors *.pth)"
        return str(QFileDialog.getOpenFileName(self, "Weights of VGG16", "", kinds)[0])


class VggController:
    """Downloads VGG16 or takes it from a file, as the user decides."""

    #: VGG16 has been found, or the user has decided to train without it.
    changed = psygnal.Signal()

    def __init__(self, backend: Backend, queue: TaskQueue, panel: VggPanel) -> None:
        self._backend, self._queue, self._panel = backend, queue, panel
        self._task: Task | None = None
        self.without = False
        panel.download_pressed.connect(self.download)
        panel.file_pressed.connect(self.choose_file)
        panel.without_pressed.connect(lambda: self.go_without())
        panel.progress.cancel_pressed.connect(self.cancel)

    @property
    def there(self) -> bool:
        """Whether VGG16 is there."""
        return self._backend.vgg() is not None

    @property
    def busy(self) -> bool:
        """Whether it is being downloaded or read."""
        return self._task is not None

    def download(self) -> None:
        """Download it."""
        self._begin(
            lambda report, cancel: self._backend.download_vgg(
                lambda done, total: report((done, total)), cancel
            ),
            "Downloading VGG16…",
        )

    def choose_file(self) -> None:
        """Ask for a file and read it."""
        path = self._panel.ask_file()
        if path:
            self._begin(
                lambda report, cancel: self._backend.import_vgg(Path(path)), "Checking the file…"
            )

    def go_without(self, on: bool = True) -> None:
        """Train without it, or ask again."""
        if on != self.without:
            self.without = on
            self.changed.emit()

    def cancel(self) -> None:
        """Stop the download."""
        if self._task is not None:
            self._task.cancel()
            self._panel.show_progress("Stopping the download…")

    def close(self) -> None:
        """Stop, and leave the panel alone from now on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self, work: Work, title: str) -> None:
        if self._task is not None:
            return
        self._task = task = self._queue.submit(work, title)
        task.reported.connect(partial(self._on_report, task))
        task.failed.connect(messages.report)
        task.ended.connect(partial(self._on_ended, task))
        self._panel.show_progress(title)

    def _on_report(self, task: Task, counted: tuple[int, int]) -> None:
        if task is self._task and not task.flag.is_set():
            done, total = counted
            self._panel.show_progress(megabytes_text(done, total), done >> 10, total >> 10)

    def _on_ended(self, task: Task) -> None:
        if task is self._task:
            self._task = None
            self.changed.emit()
