"""Training as the user sees it: buttons and progress, live curves, and the result."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_ssan.widgets.fine_tune.curves import LossPlots, ScorePlots
from napari_ssan.widgets.fine_tune.history import History
from napari_ssan.widgets.fine_tune.preview import PreviewImages
from napari_ssan.widgets.fine_tune.state import FineTuneState
from napari_ssan.widgets.shared.parts import (
    Column,
    Fold,
    ProgressRow,
    button,
    enable,
    heading,
    pairs,
    row,
    say,
    wrapped,
)

#: Steps of the bar.
STEPS = 1000


class RunPanel(Column):
    """The button Train or, during training, two buttons to end it and the progress."""

    train_pressed = Signal()
    stop_pressed = Signal()
    discard_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.about = wrapped("The running training. It works on its own copy of the slices")
        self.notes = wrapped("Notices of the training")
        self.train = button(
            "Train",
            "Train a copy of the model on this stack. The stack and the model stay as they are. "
            "Training continues when the dock is closed",
            self.train_pressed.emit,
        )
        self.stop = button(
            "Stop and keep best",
            "End training now. The best model so far is compared with the base model and "
            "offered to you",
            self.stop_pressed.emit,
        )
        self.discard = button(
            "Discard", "End training now, and delete its result", self.discard_pressed.emit
        )
        self.progress = ProgressRow()
        self.during = Column(pairs(self.stop, self.discard), self.progress, spacing=4)
        self.add(self.about, self.train, self.during, self.notes)

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        run = state.run
        say(self.about, run.about if run.phase == "running" else "")
        self.train.setVisible(run.phase == "idle")
        enable(self.train, state.can_train)
        self.during.setVisible(run.phase == "running")
        total = 0 if run.share is None else STEPS
        self.progress.show_progress(run.busy, round(STEPS * (run.share or 0)), total)
        self.progress.busy.setToolTip(run.details)
        enable(self.stop, run.can_stop)
        enable(self.discard, run.can_discard)
        say(self.notes, run.notes)


class LivePanel(Column):
    """Curves and preview. Each is drawn only while its fold is open."""

    def __init__(self) -> None:
        super().__init__(spacing=2)
        self.scores, self.losses, self.preview = ScorePlots(), LossPlots(), PreviewImages()
        self.folds = (
            Fold(
                "Held-out slices",
                "Quality on slices that are not trained on",
                self.scores,
                is_open=True,
            ),
            Fold("Losses", "What training minimizes, term by term", self.losses),
            Fold(
                "Preview",
                "A held-out slice: real, from the base model, and from the model in training",
                self.preview,
                is_open=True,
            ),
        )
        for fold in self.folds:
            fold.toggled.connect(self._draw)
        self.add(*self.folds)
        self._history = History()

    def show_history(self, history: History) -> None:
        """Draw the history of a run in the open folds."""
        if history is not self._history:
            self._history = history
            self.scores.clear()
            self.losses.clear()
            self.preview.show_preview(None)
        self._draw()

    def _draw(self) -> None:
        scores, losses, preview = self.folds
        if scores.is_open:
            self.scores.show_history(self._history)
        if losses.is_open:
            self.losses.show_history(self._history)
        if preview.is_open:
            self.preview.show_preview(self._history.preview)


class VerdictPanel(Column):
    """The result, and whether to use it."""

    use_pressed = Signal(str)
    keep_base_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(heading("3  Result"))
        self.column.setContentsMargins(0, 0, 0, 4)
        self.about = wrapped()
        self.text = wrapped(
            "Held-out slices were synthesized from their neighbours, by the base model and by "
            "yours, and compared with the real ones"
        )
        self.name = QLineEdit()
        self.name.setMaxLength(80)
        self.name.setToolTip("Name of your model in the lists. You can rename it later")
        self.named = Column(row(QLabel("Name"), self.name))
        self.use = button("Use it", "Save the model under this name, and use it for repairs")
        self.keep_base = button(
            "Keep base",
            "Delete the trained model and keep the base model",
            self.keep_base_pressed.emit,
        )
        for signal in (self.use.clicked, self.name.returnPressed):
            signal.connect(lambda: self.use_pressed.emit(self.name.text()))
        answers = row(self.use, self.keep_base)
        answers.setSpacing(4)
        self.add(self.about, self.text, self.named, answers)
        self._proposed = ""

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        run = state.run
        self.setVisible(run.phase == "judged")
        self.about.setText(run.about)
        self.text.setText(run.verdict)
        self.named.setVisible(run.better)
        self.use.setVisible(run.better)
        if run.name != self._proposed:
            self._proposed = run.name
            self.name.setText(run.name)
