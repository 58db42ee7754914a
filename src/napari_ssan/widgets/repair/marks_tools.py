"""What stands above and below the table of marks: many marks at a time, the next one, undo.

Shows its share of a `DockState` and emits signals; what a press does is decided by
:class:`~napari_ssan.widgets.repair.many_marks.ManyMarks`.
"""

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QPushButton

from napari_ssan.widgets.repair.state import DockState, keyed, slices_text
from napari_ssan.widgets.shared.parts import Column, button, enable, fill, row

#: What may become of marked pixels: label and tooltip.
TREATMENTS = {
    "synthesize": ("Synthesize", "the pixels are made from the neighbours"),
    "correct": (
        "Correct",
        "the slice keeps its own pixels; brightness and contrast are brought to the neighbours'",
    ),
}
EXAMPLE = "12, 47-48, 100-110"


class SlicesField(Column):
    """A field for the numbers of slices, and the button that marks them."""

    entered = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.field = QLineEdit()
        self.field.setPlaceholderText(EXAMPLE)
        self.field.setToolTip(
            f"Slices to mark as broken as a whole, such as {EXAMPLE}. They count from 0, as in "
            "the table. Enter marks them"
        )
        self.mark = button("Mark", "Mark these slices", self._on_enter)
        self.mark.setMaximumWidth(60)
        self.add(row(QLabel("Slices"), self.field, self.mark))
        self.field.returnPressed.connect(self._on_enter)
        self.field.textChanged.connect(lambda text: enable(self.mark, bool(text.strip())))
        enable(self.mark, False)

    def clear(self) -> None:
        """Make room for other numbers."""
        self.field.clear()

    def _on_enter(self) -> None:
        if self.field.text().strip():
            self.entered.emit(self.field.text())


class MarksTools(Column):
    """Go to the next mark; accept or revert all, or what is selected in the table; undo."""

    stepped = Signal(bool)
    accept_pressed = Signal()
    revert_pressed = Signal()
    undo_pressed = Signal(bool)
    #: What shall become of the selected rows, or of the mark on screen.
    treatment_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.back = _narrow("◂", lambda: self.stepped.emit(True))
        self.forth = _narrow("▸", lambda: self.stepped.emit(False))
        self.accept = button("Accept all", "", self.accept_pressed.emit)
        self.revert = button("Revert all", "", self.revert_pressed.emit)
        self.undo = _narrow("⟲", lambda: self.undo_pressed.emit(False))
        self.redo = _narrow("⟳", lambda: self.undo_pressed.emit(True))
        tools = row(self.back, self.forth, self.accept, self.revert, self.undo, self.redo)
        tools.setSpacing(3)
        self.treatment = QComboBox()
        fill(self.treatment, [(label, name, tip) for name, (label, tip) in TREATMENTS.items()], 0)
        self.treatment.activated.connect(
            lambda _: self.treatment_chosen.emit(str(self.treatment.currentData()))
        )
        self.label = QLabel()
        self.treating = Column(row(self.label, self.treatment))
        self.add(tools, self.treating)
        self._keys: Mapping[str, str] = {}

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do the same."""
        self._keys = keys

    def render_state(self, state: DockState, selected: Sequence[int]) -> None:
        """Show a state; `selected` lines of the table are selected."""
        many = len(selected) > 1
        which = str(len(selected)) if many else "all"
        these = "of the selected rows" if many else "there is"
        self.accept.setText(f"Accept {which}")
        self.accept.setToolTip(
            f"Keep every repair {these}. Select several rows to accept only them"
        )
        self.revert.setText(f"Revert {which}")
        self.revert.setToolTip(
            f"Show the original again for every repair {these}, after a question; the marks stay"
        )
        self._show_treatment(state, selected)
        repaired = {each.state for each in state.rows}
        enable(self.accept, "synthesized" in repaired)
        enable(self.revert, bool({"synthesized", "accepted"} & repaired))
        for widget, text, action in (
            (self.back, "Go to the mark before this slice", "previous"),
            (self.forth, "Go to the next mark", "next"),
        ):
            enable(widget, bool(state.rows))
            # the keys lead through suggestions while there are any
            key = None if state.suggestion is not None else self._keys.get(action)
            widget.setToolTip(keyed(text, key))
        for widget, verb, what in (
            (self.undo, "Undo", state.undo),
            (self.redo, "Redo", state.redo),
        ):
            enable(widget, bool(what))
            text = f"{verb}: {what}" if what else f"Nothing to {verb.lower()}"
            widget.setToolTip(keyed(text, self._keys.get(verb.lower())))

    def _show_treatment(self, state: DockState, selected: Sequence[int]) -> None:
        rows = [state.rows[line] for line in selected if line < len(state.rows)]
        rows = rows or [each for each in state.rows if (state.section, 0) in each.marks]
        rows = [each for each in rows if each.kind != "missing"]
        self.treating.setVisible(bool(rows))
        named = ", ".join(map(slices_text, rows[:2])) + (", …" if len(rows) > 2 else "")
        self.label.setText(f"Slice {named}")
        treatments = {each.treatment for each in rows}
        one = treatments.pop() if len(treatments) == 1 else ""
        self.treatment.setCurrentIndex(self.treatment.findData(one))
        tips = [f"{label}: {tip}" for label, tip in TREATMENTS.values()]
        self.treatment.setToolTip("\n".join(tips))


def _narrow(text: str, press: Callable[[], object]) -> QPushButton:
    made = button(text, "", press)
    made.setMinimumWidth(26)
    made.setMaximumWidth(30)
    return made
