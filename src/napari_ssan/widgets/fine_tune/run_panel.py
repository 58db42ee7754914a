"""Training as it is seen: Train, how far it is, the curves, and what has come of it."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QProgressBar, QVBoxLayout, QWidget

from napari_ssan.widgets.fine_tune.curves import LossPlots, ScorePlots
from napari_ssan.widgets.fine_tune.history import History
from napari_ssan.widgets.fine_tune.preview import PreviewImages
from napari_ssan.widgets.fine_tune.state import FineTuneState
from napari_ssan.widgets.shared.parts import Fold, button, enable, heading, pairs, say, wrapped

#: Steps of the bar.
STEPS = 1000


class RunPanel(QWidget):  # type: ignore[misc]
    """The button, which becomes two, and how far training is."""

    train_pressed = Signal()
    stop_pressed = Signal()
    discard_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.about, self.busy, self.notes = wrapped(), wrapped(), wrapped()
        self.about.setToolTip("The training that runs. It has a copy of the slices that it uses")
        self.notes.setToolTip("What the training had to say")
        self.train = button(
            "Train",
            "Train a copy of the model on this stack. The stack and the model stay as they are; "
            "training goes on when the dock is closed",
        )
        self.stop = button(
            "Stop and keep best",
            "End training now; the network that did best on the held-out slices is judged and "
            "offered to you",
        )
        self.discard = button("Discard", "End training now, and keep nothing of it")
        self.train.clicked.connect(lambda: self.train_pressed.emit())
        self.stop.clicked.connect(lambda: self.stop_pressed.emit())
        self.discard.clicked.connect(lambda: self.discard_pressed.emit())
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.during = QWidget()
        inside = QVBoxLayout(self.during)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        inside.addLayout(pairs(self.stop, self.discard))
        inside.addWidget(self.bar)
        inside.addWidget(self.busy)
        for widget in (self.about, self.train, self.during, self.notes):
            column.addWidget(widget)

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        run = state.run
        say(self.about, run.about if run.phase == "running" else "")
        self.train.setVisible(run.phase == "idle")
        enable(self.train, state.can_train)
        self.during.setVisible(run.phase == "running")
        self.busy.setText(run.busy)
        self.busy.setToolTip(run.details)
        self.bar.setRange(0, 0 if run.share is None else STEPS)
        self.bar.setValue(round(STEPS * (run.share or 0)))
        enable(self.stop, run.can_stop)
        enable(self.discard, run.can_discard)
        say(self.notes, run.notes)


class LivePanel(QWidget):  # type: ignore[misc]
    """Curves and preview; each is drawn only while it is open."""

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.scores, self.losses, self.preview = ScorePlots(), LossPlots(), PreviewImages()
        self.folds = (
            Fold("Held-out slices", "How well it does on slices that it does not see", True),
            Fold("Losses", "What training makes small, term by term"),
            Fold("Preview", "A held-out slice: real, before, and as it is synthesized now", True),
        )
        for fold, content in zip(self.folds, (self.scores, self.losses, self.preview), strict=True):
            fold.column.addWidget(content)
            fold.toggled.connect(self._draw)
            column.addWidget(fold)
        self._history = History()

    def show_history(self, history: History) -> None:
        """Draw what is known of a run, where it is open."""
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


class VerdictPanel(QWidget):  # type: ignore[misc]
    """What has come of it, and whether to use it."""

    use_pressed = Signal(str)
    keep_base_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(5)
        self.about, self.text = wrapped(), wrapped()
        self.text.setToolTip(
            "Whole held-out slices, synthesized from their neighbours as a repair does it, by the "
            "base model and by yours, and compared with the real ones"
        )
        self.name = QLineEdit()
        self.name.setMaxLength(80)
        self.name.setToolTip("What your model is called in the lists; it can be renamed later")
        self.named = QWidget()
        row = QHBoxLayout(self.named)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Name"))
        row.addWidget(self.name, 1)
        self.use = button("Use it", "Save the model under this name, and choose it for repairs")
        self.keep_base = button(
            "Keep base", "Leave everything as it was; what was trained is thrown away"
        )
        self.use.clicked.connect(lambda: self.use_pressed.emit(self.name.text()))
        self.name.returnPressed.connect(lambda: self.use_pressed.emit(self.name.text()))
        self.keep_base.clicked.connect(lambda: self.keep_base_pressed.emit())
        answers = QHBoxLayout()
        answers.setSpacing(4)
        answers.addWidget(self.use, 1)
        answers.addWidget(self.keep_base, 1)
        for widget in (heading("3  Result"), self.about, self.text, self.named):
            column.addWidget(widget)
        column.addLayout(answers)
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
