"""Layout of the dock "Fine-tune". Shows a state, emits what the user does, decides nothing."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_ssan.widgets.fine_tune.fold import heading
from napari_ssan.widgets.fine_tune.models import ModelsPanel
from napari_ssan.widgets.fine_tune.panels import HowPanel, PartPanel
from napari_ssan.widgets.fine_tune.run_panel import LivePanel, RunPanel, VerdictPanel
from napari_ssan.widgets.fine_tune.state import WITHOUT, FineTuneState
from napari_ssan.widgets.fine_tune.uses import UsesPanel
from napari_ssan.widgets.fine_tune.vgg import VggPanel
from napari_ssan.widgets.panels import button, narrow_list, pairs, wrapped


class FineTuneView(QWidget):  # type: ignore[misc]
    """The stack, what has to be said, what can be set, and the training.

    Parameters
    ----------
    devices : list of (str, str)
        Label and name of each device.
    minutes : float
        Budget that is proposed.
    """

    stack_chosen = Signal(int)
    answered = Signal(bool)
    sample_wanted = Signal()
    #: What is learned from, or how, was set anew.
    changed = Signal()

    def __init__(
        self, devices: list[tuple[str, str]], minutes: float, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setMinimumWidth(300)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(5)
        layout.addLayout(self._build_stack())
        layout.addWidget(self._build_banner())
        self.how = HowPanel(devices, minutes)
        self.part = PartPanel()
        self.vgg = VggPanel()
        self.uses = UsesPanel()
        self.run, self.verdict, self.live = RunPanel(), VerdictPanel(), LivePanel()
        self.models = ModelsPanel()
        self.learning = group(heading("1  What it should learn"), self.how, self.part)
        self.training = heading("2  Train")
        self.outlook = group(self.vgg, self.uses)
        for widget in (self.learning, self.training, self.outlook):
            layout.addWidget(widget)
        for panel in (self.run, self.verdict, self.live, self.models):
            layout.addWidget(panel)
        layout.addStretch()
        for panel in (self.how, self.part):
            panel.changed.connect(self.changed)
        self.render_state(FineTuneState())

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        if [self.stack.itemText(n) for n in range(self.stack.count())] != list(state.layers):
            self.stack.clear()
            self.stack.addItems(list(state.layers))
        self.stack.setCurrentIndex(state.chosen)
        self.stack.setEnabled(bool(state.layers))
        self.info.setToolTip(state.info)
        self.info.setVisible(bool(state.info))
        idle = state.run.phase == "idle"
        question = state.question if idle else None
        refusal = state.refusal if idle else ""
        said = [question.text] if question else []
        self.message.setText("\n".join([*said, *([refusal] if refusal else [])]))
        self.banner.setVisible(bool(self.message.text()))
        self.sample.setVisible(bool(refusal) and state.offer_sample)
        for answer, text in (
            (self.yes, question.yes if question else ""),
            (self.no, question.no if question else ""),
        ):
            answer.setText(text)
            answer.setVisible(bool(text))
        for part in (self.learning, self.outlook):
            part.setVisible(idle)
            part.setEnabled(not refusal)
        self.training.setVisible(state.run.phase != "judged")
        self.how.render_state(state)
        self.part.render_state(state)
        self.uses.show_uses(state.uses)
        self.render_run(state)
        self.live.setVisible(not idle)

    def render_run(self, state: FineTuneState) -> None:
        """Show how far training is, alone: this comes often."""
        self.run.render_state(state)
        self.verdict.render_state(state)

    def show_vgg(self, state: FineTuneState) -> None:
        """Ask where VGG16 comes from, or say that there is none."""
        self.vgg.show_question(state.wants_vgg, WITHOUT if state.without else "")

    def _build_stack(self) -> QHBoxLayout:
        self.stack = narrow_list()
        self.stack.setToolTip(
            "The stack to learn from. It is only read, never changed. What is marked in the dock "
            "Repair slice is left out by itself"
        )
        self.stack.activated.connect(self.stack_chosen)
        self.info = QLabel("ℹ")
        row = QHBoxLayout()
        row.addWidget(QLabel("Stack"))
        row.addWidget(self.stack, 1)
        row.addWidget(self.info)
        return row

    def _build_banner(self) -> QWidget:
        self.banner = QWidget()
        box = QVBoxLayout(self.banner)
        box.setContentsMargins(0, 4, 0, 4)
        self.message = wrapped()
        self.sample = button("Open the sample", "Open a small generated stack with broken slices")
        self.sample.clicked.connect(lambda: self.sample_wanted.emit())
        self.yes, self.no = QPushButton(), QPushButton()
        self.yes.setToolTip("Take up the training where it was left; it has a copy of its slices")
        self.no.setToolTip("Delete what was trained, and the copy of the slices")
        self.yes.clicked.connect(lambda: self.answered.emit(True))
        self.no.clicked.connect(lambda: self.answered.emit(False))
        box.addWidget(self.message)
        box.addWidget(self.sample)
        box.addLayout(pairs(self.yes, self.no))
        return self.banner


def group(*widgets: QWidget) -> QWidget:
    """Put widgets below each other in one."""
    made = QWidget()
    column = QVBoxLayout(made)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(5)
    for widget in widgets:
        column.addWidget(widget)
    return made
