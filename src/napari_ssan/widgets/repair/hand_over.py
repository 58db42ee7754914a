"""The command that repairs a volume on a cluster as the dock would, to be copied.

Easy to get wrong: a shell reads it, so a path with a space is quoted.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import QApplication, QDialog, QLabel, QLineEdit, QPlainTextEdit, QWidget

from napari_ssan.widgets.repair.state import How
from napari_ssan.widgets.shared.parts import Column, button, row, wrapped

#: What stands for the address until the user gives it.
SCHEDULER = "tcp://HOST:8786"


def command(volume: Path, marks: Path, how: How, scheduler: str = SCHEDULER) -> str:
    """The command, for a shell.

    Parameters
    ----------
    volume, marks : Path
        What is to be repaired, and the file that says where.
    how : How
        As the dock has it.
    scheduler : str
        Address of a dask scheduler, or its file.
    """
    words = ["napari-ssan", "repair", str(volume), "--in-place", "--defects-file", str(marks)]
    words += ["--model", how.model] if how.method == "ssan" else ["--method", how.method]
    words += ["--views", str(how.views)] if how.views else []
    words += ["--device", how.device] if how.device != "auto" else []
    return shlex.join([*words, "--scheduler", scheduler or SCHEDULER])


class HandOverDialog(QDialog):
    """Shows the command for the address of a scheduler, and copies it."""

    def __init__(self, parent: QWidget, file: Path, make: Callable[[str], str]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Hand over to a cluster")
        self.scheduler = QLineEdit(SCHEDULER)
        self.scheduler.setToolTip("Address of the dask scheduler, or the path of its file")
        self.command = QPlainTextEdit()
        self.command.setReadOnly(True)
        self.command.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.copy = button("Copy", "Copy the command", self._copy)
        self.done_button = button("Close", "Close this window", self.accept)
        text = wrapped()
        text.setText(
            f"The marks are in {file}. Run this command where the volume lies under the same "
            "path. It repairs all marks, and keeps the originals. Open the volume again when "
            "it has ended."
        )
        contents = Column(
            text,
            row(QLabel("Scheduler"), self.scheduler),
            self.command,
            row(self.copy, self.done_button),
        )
        contents.column.setContentsMargins(9, 9, 9, 9)
        self.setLayout(contents.column)
        self.resize(560, 260)
        self._make = make
        self.scheduler.textChanged.connect(self._show)
        self._show(SCHEDULER)

    def _show(self, scheduler: str) -> None:
        self.command.setPlainText(self._make(scheduler.strip()))

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None  # Qt makes it
        clipboard.setText(self.command.toPlainText())
        self.copy.setText("Copied")
