"""Where VGG16 comes from, where natural texture wants it and it is not there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any

import psygnal
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_ssan.losses.vgg_weights import SOURCE
from napari_ssan.widgets.fine_tune.core import Core
from napari_ssan.widgets.fine_tune.state import megabytes_text
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.parts import button, pairs, say, wrapped
from napari_ssan.workers import Task, TaskQueue

WANTED = (
    f"Natural texture is learned with VGG16, a network that is not here yet: {SOURCE}, "
    "of which 31 MB stay."
)


class VggPanel(QWidget):  # type: ignore[misc]
    """Three answers, and how far the download is."""

    download_pressed = Signal()
    file_pressed = Signal()
    without_pressed = Signal()
    cancel_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.setSpacing(4)
        self.text = wrapped()
        self.download = button("Download", f"Fetch the weights, {SOURCE}, once, and check them")
        self.file = button(
            "Choose file…", "A file of the weights: torchvision's .pth, or a .safetensors"
        )
        self.without = button(
            "Train without",
            "Compare pixels alone (the loss L_1): what is learned is smoother than real slices",
        )
        self.cancel = button("Cancel", "Stop the download; nothing of it stays")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.answers = QWidget()
        inside = QVBoxLayout(self.answers)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        inside.addLayout(pairs(self.download, self.file))
        inside.addWidget(self.without)
        for widget in (self.text, self.answers, self.bar, self.cancel):
            column.addWidget(widget)
        self.download.clicked.connect(lambda: self.download_pressed.emit())
        self.file.clicked.connect(lambda: self.file_pressed.emit())
        self.without.clicked.connect(lambda: self.without_pressed.emit())
        self.cancel.clicked.connect(lambda: self.cancel_pressed.emit())

    def show_question(self, wanted: bool, without: str) -> None:
        """Ask, or say that the user has taken to go without, or show nothing."""
        self._busy(False)
        self.answers.setVisible(wanted)
        say(self.text, WANTED if wanted else without)
        self.setVisible(wanted or bool(without))

    def show_progress(self, text: str, done: int, total: int) -> None:
        """Show how far it is; no `total`, and the bar only moves."""
        self.setVisible(True)
        self.answers.setVisible(False)
        self._busy(True)
        say(self.text, text)
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def ask_file(self) -> str:
        """Ask for the path of a file; empty if the user turned away."""
        kinds = "Weights of VGG16 (*.safetensors *.pth)"
        return str(QFileDialog.getOpenFileName(self, "Weights of VGG16", "", kinds)[0])

    def _busy(self, on: bool) -> None:
        self.bar.setVisible(on)
        self.cancel.setVisible(on)


class VggController:
    """Gets VGG16 from where the user says.

    Parameters
    ----------
    core : Core
        What gets it.
    queue : TaskQueue
        Where.
    panel : VggPanel
        Where the user says so.
    """

    #: It came, or the user has taken to go without.
    changed = psygnal.Signal()

    def __init__(self, core: Core, queue: TaskQueue, panel: VggPanel) -> None:
        self._core, self._queue, self._panel = core, queue, panel
        self._task: Task | None = None
        self.without = False
        panel.download_pressed.connect(self.download)
        panel.file_pressed.connect(self.choose_file)
        panel.without_pressed.connect(lambda: self.go_without())
        panel.cancel_pressed.connect(self.cancel)

    @property
    def there(self) -> bool:
        """Whether VGG16 is at hand."""
        return self._core.vgg() is not None

    @property
    def busy(self) -> bool:
        """Whether it is being got."""
        return self._task is not None

    def download(self) -> None:
        """Fetch it."""

        def work(report: Callable[[Any], None], cancel: Flag) -> None:
            self._core.download_vgg(lambda done, total: report((done, total)), cancel)

        self._begin(work, "Downloading VGG16…")

    def choose_file(self) -> None:
        """Ask for a file, and take it from there."""
        path = self._panel.ask_file()
        if path:
            self._begin(
                lambda report, cancel: self._core.import_vgg(Path(path)), "Checking the file…"
            )

    def go_without(self, on: bool = True) -> None:
        """Do without it, or ask again."""
        if on != self.without:
            self.without = on
            self.changed.emit()

    def cancel(self) -> None:
        """Stop the download."""
        if self._task is not None:
            self._task.cancel()
            self._panel.show_progress("Stopping the download…", 0, 0)

    def close(self) -> None:
        """Stop, and touch the panel no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self, work: Any, title: str) -> None:
        if self._task is not None:
            return
        self._task = task = self._queue.submit(work, title)
        task.reported.connect(partial(self._on_report, task))
        task.failed.connect(messages.report)
        task.ended.connect(partial(self._on_ended, task))
        self._panel.show_progress(title, 0, 0)

    def _on_report(self, task: Task, counted: tuple[int, int]) -> None:
        if task is self._task and not task.flag.is_set():
            done, total = counted
            self._panel.show_progress(megabytes_text(done, total), done >> 10, total >> 10)

    def _on_ended(self, task: Task) -> None:
        if task is self._task:
            self._task = None
            self.changed.emit()
