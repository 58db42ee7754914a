"""Three of the numbered parts of the dock "Repair slice": mark, repair, compare.

Each shows its share of a `DockState` and emits signals; it decides nothing. Plain Qt: two
checkboxes and a list in a row are no form that magicgui would shorten.
"""

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QMenu, QSlider

from napari_ssan.widgets.repair.marks_table import MarksTable
from napari_ssan.widgets.repair.marks_tools import MarksTools, SlicesField
from napari_ssan.widgets.repair.state import (
    DockState,
    ModelChoice,
    accepted_text,
    keyed,
    repair_text,
)
from napari_ssan.widgets.repair.strip import ZStrip
from napari_ssan.widgets.repair.suggest_panel import SuggestPanel
from napari_ssan.widgets.shared.parts import (
    Column,
    ProgressRow,
    button,
    checkbox,
    enable,
    fill,
    heading,
    narrow_list,
    pairs,
    row,
    say,
    wrapped,
)

CHOOSE_FILE = "Choose a file…"
#: Views that are averaged for the best quality.
BEST_VIEWS = 8


class MarkPanel(Column):
    """Marking slices and regions, and the table of marks and suggestions."""

    mark_pressed = Signal()
    lasso_toggled = Signal(bool)
    missing_pressed = Signal()
    suggest_pressed = Signal()
    range_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(heading("1  Mark what is broken"))
        self._keys: Mapping[str, str] = {}
        self.mark = button("Mark", "", self._on_mark)
        self.lasso = button("Lasso", "")
        self.lasso.setCheckable(True)
        self.lasso.clicked.connect(self.lasso_toggled)
        self.missing = button(
            "Missing",
            "Slices were lost between this slice and the next: insert synthetic ones there",
            self.missing_pressed.emit,
        )
        self.suggest = button(
            "Suggest…",
            "Look through the stack for broken slices and regions. What is found is suggested, "
            "with a reason; you decide what is marked",
            self.suggest_pressed.emit,
        )
        self.hint = wrapped()
        self.slices, self.table, self.tools = SlicesField(), MarksTable(), MarksTools()
        self.strip, self.suggestions = ZStrip(), SuggestPanel()
        self.add(pairs(self.mark, self.lasso, self.missing, self.suggest), self.slices, self.hint)
        self.add(self.strip, self.suggestions, self.table, self.tools)
        self._state = DockState()
        self.table.itemSelectionChanged.connect(self._show_tools)

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys do the same; an action without a key is left out."""
        self._keys = keys
        tip = keyed("Mark or unmark the slice on screen as broken as a whole", keys.get("mark"))
        to_here = keyed("all slices from the one that was marked last", keys.get("range"))
        self.mark.setToolTip(f"{tip}. With Shift: {to_here}")
        self.tools.show_keys(keys)
        self.suggestions.show_keys(keys)
        self.lasso.setToolTip(
            keyed(
                "Draw around what is broken: only the pixels inside are replaced. Any closed "
                "shape on the Defects layer counts",
                keys.get("lasso"),
            )
        )

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        z = state.section
        which = "this slice" if z is None else f"slice {z}"
        self.mark.setText(
            keyed(f"{'Unmark' if state.whole else 'Mark'} {which}", self._keys.get("mark"))
        )
        self.lasso.setText(
            keyed("Stop drawing" if state.drawing else "Lasso a region", self._keys.get("lasso"))
        )
        self.missing.setText("Missing slices…" if z is None else f"Missing after {z}…")
        enable(self.mark, state.can_mark)
        enable(self.lasso, state.can_mark or state.drawing)
        enable(self.missing, state.can_insert)
        enable(self.suggest, state.question is None and state.count > 0 and not state.busy)
        self.strip.show_ticks(state.count, state.section, state.ticks)
        self.suggestions.render_state(state)
        self.lasso.setChecked(state.drawing)
        say(self.hint, state.hint)
        enable(self.slices, state.question is None)
        self._state = state
        self.table.show_rows(state.rows, state.section, state.suggestions, state.suggestion)
        self._show_tools()

    def _show_tools(self) -> None:
        self.tools.render_state(self._state, self.table.selected)

    def _on_mark(self) -> None:
        shift = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
        (self.range_pressed if shift else self.mark_pressed).emit()


class RepairPanel(Column):
    """The model, the button, and the progress."""

    repair_pressed = Signal()
    model_chosen = Signal(int)
    model_file_wanted = Signal()
    #: Per cent from faithful to natural texture.
    natural_chosen = Signal(int)
    how_chosen = Signal()

    def __init__(self, models: list[ModelChoice], devices: list[tuple[str, str]]) -> None:
        super().__init__(heading("2  Repair"))
        self.model = narrow_list()
        self.model.activated.connect(self._on_model)
        self.where = QComboBox()
        self.where.setToolTip("Where the model runs. A GPU is many times faster")
        fill(self.where, [(*device, "") for device in devices], 0)
        self.where.setVisible(len(devices) > 1)
        self.where.currentIndexChanged.connect(lambda _: self.how_chosen.emit())
        self.natural = QSlider(Qt.Orientation.Horizontal)
        self.natural.setRange(0, 10)
        self.natural.setPageStep(1)
        self.natural.setTracking(False)
        self.natural.setToolTip(
            "From faithful, closest to the real slice and smooth, to natural texture, whose grain "
            "looks real but is invented. In between lie models with a little of both"
        )
        self.natural.valueChanged.connect(lambda tenth: self.natural_chosen.emit(10 * tenth))
        self.scale = Column(row(QLabel("Faithful"), self.natural, QLabel("Natural")))
        self.best = checkbox(
            f"Best quality ({BEST_VIEWS}× slower)",
            "Averages eight mirrored and turned views: about 0.06 dB closer to the real slice, "
            "smoother, eight times slower.",
        )
        self.best.toggled.connect(lambda _: self.how_chosen.emit())
        self.device, self.terms, self.notes = wrapped(), wrapped(), wrapped()
        self.caution = wrapped()
        self.repair = button(
            "Repair",
            "Synthesize what is marked from the good slices around it, in a new layer",
            self.repair_pressed.emit,
        )
        self.progress = ProgressRow("Stop at the next tile; finished slices stay")
        self.add(row(QLabel("Model"), self.model), self.scale, self.where, self.best)
        self.add(self.caution, self.repair, self.progress, self.notes, self.device, self.terms)
        self.show_models(models, 0)
        say(self.notes, "")

    def show_models(self, models: list[ModelChoice], chosen: int) -> None:
        """Fill the list of models."""
        self._models = models
        entries = [(choice.label, None, choice.tooltip) for choice in models]
        fill(self.model, [*entries, (CHOOSE_FILE, None, "Use a model from a file")], chosen)
        self._show_model()

    def device_name(self) -> str:
        """Return the device that is chosen, as for :func:`napari_ssan.repair`."""
        return str(self.where.currentData())

    def views(self) -> int | None:
        """Return how many views shall be averaged, as for :func:`napari_ssan.repair`."""
        return BEST_VIEWS if self.best.isEnabledTo(self) and self.best.isChecked() else None

    def show_note(self, text: str) -> None:
        """Show the notes of the last repair; an empty text hides them."""
        say(self.notes, text)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        busy = bool(state.busy)
        self.repair.setText(repair_text(state.pending, busy))
        enable(self.repair, state.pending > 0 and state.question is None)
        self.repair.setVisible(not busy or state.pending > 0)
        self.progress.show_progress(state.busy, state.done, state.total)
        say(self.device, state.device)

    def _show_model(self) -> None:
        choice = self._models[self.model.currentIndex()]
        self.model.setToolTip(choice.tooltip)
        say(self.caution, choice.caution)
        self.scale.setVisible(choice.natural is not None)
        with QSignalBlocker(self.natural):
            self.natural.setValue(round((choice.natural or 0) / 10))
        say(self.terms, f"Weights: {choice.terms}" if choice.terms else "")
        enable(self.best, choice.method == "ssan")

    def _on_model(self, index: int) -> None:
        if index < len(self._models):
            self._show_model()
            self.model_chosen.emit(index)
        else:
            self.model_file_wanted.emit()


class LookPanel(Column):
    """Comparing before and after, and accepting or reverting a repair."""

    before_toggled = Signal(bool)
    accept_pressed = Signal()
    revert_pressed = Signal()
    overlay_toggled = Signal(bool)
    compare_pressed = Signal()
    #: The model of another result, by its number, and the result that is to be used.
    again_wanted = Signal(int)
    result_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__(heading("3  Compare and accept"))
        self._key: str | None = None
        self._results: tuple[tuple[str, str], ...] = ()
        self.before = button("Show before", "")
        self.before.setCheckable(True)
        self.accept = button(
            "Accept",
            "Say that you have looked at the repair of the slice on screen, and want to keep it. "
            "What is not accepted is exported only if you say so",
            self.accept_pressed.emit,
        )
        self.accepted = wrapped()
        self.revert = button(
            "Revert",
            "Show the original of the slice on screen again; its mark stays",
            self.revert_pressed.emit,
        )
        self.overlay = checkbox("Synthetic pixels", "Tint the synthetic pixels, in a layer")
        self.before.clicked.connect(self.before_toggled)
        self.overlay.clicked.connect(self.overlay_toggled)
        self.add(pairs(self.before, self.overlay, self.accept, self.revert))
        self.again = button(
            "Repair again with",
            "Repair the slice on screen with another model, too. Both results are kept: choose one",
        )
        self.models = QMenu(self.again)
        self.again.setMenu(self.models)
        self.compare = button(
            "Compare…",
            "See the slice on screen beside its neighbours, before and after, and its results",
            self.compare_pressed.emit,
        )
        self.result = narrow_list("The result that is shown and exported")
        self.result.activated.connect(
            lambda n: self.result_chosen.emit(str(self.result.itemData(n)))
        )
        self.choice = Column(row(QLabel("Result"), self.result))
        self.add(pairs(self.again, self.compare), self.choice, self.accepted)

    def show_models(self, models: list[ModelChoice]) -> None:
        """Fill the menu of models to repair again with."""
        self.models.clear()
        for number, choice in enumerate(models):
            action = self.models.addAction(choice.label)
            assert action is not None  # Qt makes it
            action.triggered.connect(lambda _=False, n=number: self.again_wanted.emit(n))

    def show_keys(self, keys: Mapping[str, str]) -> None:
        """Say which key does the same."""
        self._key = keys.get("before")
        tip = "Switch between the original and the repaired stack"
        self.before.setToolTip(f"{tip}. Hold {self._key} for the original" if self._key else tip)

    def render_state(self, state: DockState) -> None:
        """Show a state."""
        which = "" if state.section is None else f" {state.section}"
        self.before.setText(
            keyed("Show after" if state.showing_before else "Show before", self._key)
        )
        self.before.setChecked(state.showing_before)
        self.accept.setText(f"Accept{which}")
        self.revert.setText(f"Revert{which}")
        self.overlay.setChecked(state.overlay)
        enable(self.before, state.has_result)
        enable(self.overlay, state.has_synthetic)
        entries = [(label, name, "") for name, label in state.results]
        if state.results != self._results or state.result != (self.result.currentData() or ""):
            self._results = state.results
            names = [name for name, _ in state.results]
            fill(self.result, entries, names.index(state.result) if state.result in names else -1)
        several = len(state.results) > 1 or (bool(state.results) and not state.result)
        self.choice.setVisible(several)
        for widget in (self.again, self.compare):
            enable(widget, bool(state.result))
        say(self.accepted, accepted_text(state.accepted, state.repaired))
        enable(self.accept, state.accept)
        enable(self.revert, state.revert)
