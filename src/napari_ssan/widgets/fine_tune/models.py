"""The fold "My models": rename, export, import and delete the user's own models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import psygnal
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from napari_ssan.network.model_card import card_text
from napari_ssan.network.model_file import SUFFIX, ModelInfo
from napari_ssan.widgets.fine_tune.backend import Backend
from napari_ssan.widgets.shared import messages
from napari_ssan.widgets.shared.library import LIBRARY
from napari_ssan.widgets.shared.parts import (
    Fold,
    ProgressRow,
    button,
    enable,
    narrow_list,
    pairs,
    wrapped,
)
from napari_ssan.workers import TaskQueue

MODEL_FILE, PACKAGE = f"Model file (*{SUFFIX})", "bioimage.io package (*.zip)"


class ModelsPanel(Fold):
    """The list of models, the card of the chosen one, and four buttons."""

    rename_pressed = Signal(str)
    export_pressed = Signal(str)
    import_pressed = Signal()
    delete_pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__("My models", "The models that you have trained or imported")
        self.models = narrow_list("Your own models. Both docks list them")
        self.models.currentIndexChanged.connect(self._on_model)
        self.card = wrapped()
        self.card.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.rename = button(
            "Rename…", "Give the model another name", lambda: self.rename_pressed.emit(self.chosen)
        )
        self.export = button(
            "Export…",
            "Write the model to a file: our own format, or a package for bioimage.io",
            lambda: self.export_pressed.emit(self.chosen),
        )
        self.bring = button(
            "Import…", "Copy a model from a file to your own models", self.import_pressed.emit
        )
        self.delete = button(
            "Delete…",
            "Delete the model's file. Repairs made with it stay",
            lambda: self.delete_pressed.emit(self.chosen),
        )
        self.progress = ProgressRow()
        buttons = pairs(self.rename, self.export, self.bring, self.delete)
        self.content.add(self.models, self.card, buttons, self.progress)
        self._cards: list[str] = []
        self._whole: list[str] = []
        self.show_models([], "")
        self.progress.show_progress("")

    @property
    def chosen(self) -> str:
        """Name of the model that is chosen; empty if there is none."""
        return str(self.models.currentText()) if self._cards else ""

    def show_models(self, infos: list[ModelInfo], chosen: str) -> None:
        """List the user's models, and choose one if it is in the list."""
        kept = chosen or self.chosen
        self._cards = [card_line(info) for info in infos]
        self._whole = [card_text(info) for info in infos]
        self.models.clear()
        self.models.addItems([info.name for info in infos])
        self.models.setCurrentIndex(max(self.models.findText(kept), 0) if infos else -1)
        self.models.setVisible(bool(infos))
        for control in (self.rename, self.export, self.delete):
            enable(control, bool(infos))
        self._on_model()

    def ask_name(self, name: str) -> str:
        """Ask for a new name of a model; empty if the user cancels."""
        text, yes = QInputDialog.getText(self, "Rename the model", f"New name of {name}", text=name)
        return str(text).strip() if yes else ""

    def ask_file(self) -> str:
        """Ask for a model file to import; empty if the user cancels."""
        kinds = f"Models (*{SUFFIX} *.zip)"
        return str(QFileDialog.getOpenFileName(self, "Import a model", "", kinds)[0])

    def ask_target(self, name: str) -> Path | None:
        """Ask where to export to; the ending selects the format. None if the user cancels."""
        proposed = str(Path.home() / f"{name}{SUFFIX}")
        silent = QFileDialog.Option.DontConfirmOverwrite  # asked below: the ending may be added
        path, kind = QFileDialog.getSaveFileName(
            self, "Export the model", proposed, f"{MODEL_FILE};;{PACKAGE}", "", silent
        )
        if not path:
            return None
        if Path(path).suffix.lower() not in (SUFFIX, ".zip"):
            path += ".zip" if kind == PACKAGE else SUFFIX
        target = Path(path)
        if target.exists():
            text = f"{target.name} already exists in {target.parent}. Replace it?"
            answer = QMessageBox.question(self, "Export the model", text)
            if answer != QMessageBox.StandardButton.Yes:
                return None
        return target

    def ask_delete(self, name: str) -> bool:
        """Ask whether to delete a model."""
        text = f"Delete the model {name}? This cannot be undone."
        answer = QMessageBox.question(self, "Delete the model", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_model(self) -> None:
        index = self.models.currentIndex()
        known = 0 <= index < len(self._cards)
        self.card.setText(self._cards[index] if known else "None yet: train one, or import a file.")
        self.card.setToolTip(self._whole[index] if known else "")


class ModelsController:
    """Renames, exports, imports and deletes the user's models."""

    #: The list has been read again.
    changed = psygnal.Signal()

    def __init__(self, backend: Backend, queue: TaskQueue, panel: ModelsPanel) -> None:
        self._backend, self._queue, self._panel = backend, queue, panel
        self.models: list[ModelInfo] = []
        self._chosen = ""
        self._open = True
        self._said: set[str] = set()
        panel.rename_pressed.connect(self.rename)
        panel.export_pressed.connect(self.export)
        panel.import_pressed.connect(self.bring)
        panel.delete_pressed.connect(self.delete)
        LIBRARY.changed.connect(self.read)
        LIBRARY.chosen.connect(self._on_chosen)

    def read(self) -> None:
        """Read the list again."""
        notices: list[str] = []
        task = self._queue.submit(lambda report, cancel: self._backend.models(notices.append))
        task.succeeded.connect(partial(self._on_read, notices))
        task.failed.connect(messages.report)

    def rename(self, name: str) -> None:
        """Ask for a new name, and rename a model."""
        new = self._panel.ask_name(name)
        if new and new != name:
            done = f"Renamed {name} to {new}."
            self._do(lambda: self._backend.rename_model(name, new), "Renaming…", done)

    def export(self, name: str) -> None:
        """Ask for a file, and write a copy to it."""
        target = self._panel.ask_target(name)
        if target is not None:
            self._do(
                lambda: self._backend.export_model(name, target),
                f"Writing {target.name}…",
                f"Exported {name} to {target.name}.",
                changes=False,
            )

    def bring(self) -> None:
        """Ask for a file, and import the model in it."""
        path = self._panel.ask_file()
        if path:
            title = f"Reading {Path(path).name}…"
            self._do(lambda: self._backend.import_model(Path(path)), title, "Imported the model.")

    def delete(self, name: str) -> None:
        """Ask, and delete a model."""
        if self._panel.ask_delete(name):
            self._do(lambda: self._backend.delete_model(name), "Deleting…", f"Deleted {name}.")

    def close(self) -> None:
        """Leave the panel alone from now on."""
        self._open = False
        LIBRARY.changed.disconnect(self.read)
        LIBRARY.chosen.disconnect(self._on_chosen)

    def _do(
        self, work: Callable[[], object], busy: str, done: str, *, changes: bool = True
    ) -> None:
        task = self._queue.submit(lambda report, cancel: work(), busy)
        self._panel.progress.show_progress(busy)
        task.succeeded.connect(partial(self._on_done, done, changes))
        task.failed.connect(messages.report)
        task.ended.connect(self._on_ended)

    def _on_done(self, sentence: str, changes: bool, made: object) -> None:
        messages.tell(sentence)
        if isinstance(made, ModelInfo):
            self._chosen = made.name
        if changes:
            LIBRARY.changed.emit()

    def _on_ended(self) -> None:
        if self._open:
            self._panel.progress.show_progress("")

    def _on_chosen(self, path: Path) -> None:
        self._chosen = path.stem

    def _on_read(self, notices: list[str], models: list[ModelInfo]) -> None:
        for sentence in set(notices) - self._said:
            messages.warn(sentence)
        self._said.update(notices)
        self.models = models
        if self._open:
            own = [info for info in models if not info.bundled]
            self._panel.show_models(own, self._chosen)
            self._chosen = ""
            self.changed.emit()


def card_line(info: ModelInfo) -> str:
    """Summarize a model's card in a line or two."""
    card = info.card
    said = str(card.get("verdict") or card.get("summary") or "")
    base = f"from {card['base']}" if card.get("base") else ""
    loss = f"loss {card['loss']}" if card.get("loss") else ""
    made = ", ".join(part for part in (base, loss) if part)
    lines = [part[:1].upper() + part[1:] for part in (made, said) if part]
    return "\n".join(lines) or "Its card is empty."
