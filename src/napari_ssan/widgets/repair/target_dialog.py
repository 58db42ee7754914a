"""Asks for the name of an export.

An OME-Zarr is a folder, and dialogs for files walk into a folder rather than take its name. So
names of folders are asked for by a dialog of our own. Whether to replace what is there is not
asked here: the dialog knows neither the ending that is added nor the files beside it.
"""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QDialog, QFileDialog, QWidget

TITLE = "Export"


def ask_target(parent: QWidget, folder: Path, name: str, suffix: str) -> Path | None:
    """Ask where to export to; None if the user cancels."""
    proposed, kinds = folder / f"{name}{suffix}", f"*{suffix}"
    if suffix.endswith(".zarr"):
        dialog = FolderDialog(parent, proposed, suffix)
        path = dialog.selectedFiles()[0] if dialog.exec() else ""
        dialog.deleteLater()
    else:
        silent = QFileDialog.Option.DontConfirmOverwrite
        found = QFileDialog.getSaveFileName(parent, TITLE, str(proposed), kinds, "", silent)
        path = str(found[0])
    if not path:
        return None
    return Path(path if path.lower().endswith(suffix) else path + suffix)


class FolderDialog(QFileDialog):
    """Takes the name of a folder with a suffix, whether it exists or not."""

    def __init__(self, parent: QWidget, proposed: Path, suffix: str) -> None:
        super().__init__(parent, TITLE, str(proposed.parent), f"*{suffix}")
        self._suffix = suffix
        self.setOption(QFileDialog.Option.DontUseNativeDialog)
        self.setOption(QFileDialog.Option.DontConfirmOverwrite)
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setFileMode(QFileDialog.FileMode.AnyFile)
        self.selectFile(proposed.name)
        self.directoryEntered.connect(self._step_out)

    def accept(self) -> None:
        """Take a name with the suffix, where Qt would walk into the folder."""
        if self.selectedFiles()[0].lower().endswith(self._suffix):
            QDialog.accept(self)
        else:
            super().accept()

    def _step_out(self, entered: str) -> None:
        """Take the name of a folder that was double-clicked."""
        path = Path(entered)
        if path.name.lower().endswith(self._suffix):
            self.setDirectory(str(path.parent))
            self.setFocus()  # Qt leaves a field alone that has the focus
            self.selectFile(path.name)
