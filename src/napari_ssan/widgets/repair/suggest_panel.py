"""The part of the dock in which a user decides on suggestions, one after the other.

It shows its share of a `DockState` and emits signals; it decides nothing.
"""

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSpinBox

from napari_ssan.widgets.repair.state import DockState, keyed, suggestion_text
from napari_ssan.widgets.shared.parts import Column, button, enable, pairs, row, say, wrapped

#: How certain a suggestion is that may be marked without a look, in per cent.
SURE = 90
MARK, LEAVE = (
    "Mark what is suggested; nothing is repaired yet",
    "Leave it, and do not suggest it again",
)


class SuggestPanel(Column):
    """What is suggested, why, and the buttons to decide."""

    accept_pressed = Signal()
    reject_pressed = Signal()
    #: 1 for the next one, -1 for the one before.
    step_pressed = Signal(int)
    compare_pressed = Signal()
    #: The least probability, 0 to 1.
    accept_all_pressed = Signal(float)
    again_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.text, self.reason = wrapped(), wrapped()
        # the buttons stay under the mouse: two lines above them, what varies in length below
        self.text.setMinimumHeight(2 * self.text.fontMetrics().lineSpacing())
        self.text.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.accept = button("Mark it", MARK, self.accept_pressed.emit)
        self.reject = button("Not broken", LEAVE, self.reject_pressed.emit)
        self.previous = button(
            "Previous", "The suggestion before it", lambda: self.step_pressed.emit(-1)
        )
        self.next = button(
            "Next", "The next suggestion, which is less certain", lambda: self.step_pressed.emit(1)
        )
        self.compare = button(
            "Compare…",
            "See the slice beside its neighbours, with what is suggested outlined. The window "
            "follows from suggestion to suggestion",
            self.compare_pressed.emit,
        )
        self.least = QSpinBox()
        self.least.setRange(20, 100)
        self.least.setSuffix(" %")
        self.least.setValue(SURE)
        self.least.setToolTip("How certain a suggestion must be to be marked without a look")
        self.least.valueChanged.connect(self._count)
        self.all = button(
            "",
            "Mark all suggestions that are at least this certain. Nothing is repaired yet",
            lambda: self.accept_all_pressed.emit(self.least.value() / 100),
        )
        self.again = button(
            "",
            "Suggest again what you said is not broken",
            self.again_pressed.emit,
        )
        self.notes = wrapped()
        self.decide = Column(
            self.text,
            Column(
                pairs(self.accept, self.reject),
                row(self.previous, self.next, self.compare),
                spacing=4,
            ),
            row(self.all, self.least),
            self.reason,
        )
        self.add(self.decide, self.notes, self.again)
        self._certain: tuple[float, ...] = ()

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do the same."""
        self.accept.setText(keyed("Mark it", keys.get("accept")))
        self.reject.setText(keyed("Not broken", keys.get("reject")))
        self.previous.setText(keyed("Previous", keys.get("previous")))
        self.next.setText(keyed("Next", keys.get("next")))
        blink = keys.get("blink")
        held = f". Hold {blink} to see the slices before and after it in turn" if blink else ""
        self.accept.setToolTip(f"{MARK}{held}")

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        find = state.suggestion
        self.decide.setVisible(find is not None)
        if find is not None:
            place = state.suggestions.index(find) + 1
            say(self.text, suggestion_text(find, place, len(state.suggestions)))
            say(self.reason, find.reason)
        self._certain = tuple(each.p for each in state.suggestions if not each.gap)
        self._count()
        say(self.notes, "\n".join(state.cannot_tell))
        self.again.setText(f"Suggest {state.rejected} rejected again")
        self.again.setVisible(state.rejected > 0 and state.inspected)
        enable(self.accept, state.question is None)
        self.setVisible(find is not None or bool(state.cannot_tell) or not self.again.isHidden())

    def _count(self) -> None:
        number = sum(p >= self.least.value() / 100 for p in self._certain)
        self.all.setText(f"Mark {number} of at least")
        enable(self.all, number > 0)
