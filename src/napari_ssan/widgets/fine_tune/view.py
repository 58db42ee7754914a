"""Layout of the dock "Fine-tune". Shows a state, emits what the user does, decides nothing."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ssan.widgets.fine_tune.models import ModelsPanel
from napari_ssan.widgets.fine_tune.panels import HowPanel, PartPanel
from napari_ssan.widgets.fine_tune.run_panel import LivePanel, RunPanel, VerdictPanel
from napari_ssan.widgets.fine_tune.state import WITHOUT, FineTuneState
from napari_ssan.widgets.fine_tune.uses import UsesPanel
from napari_ssan.widgets.fine_tune.vgg import VggPanel
from napari_ssan.widgets.shared.header import HeaderView
from napari_ssan.widgets.shared.parts import heading


class FineTuneView(QWidget):  # type: ignore[misc]
    """The stack, what has to be said, what can be set, and the training.

    Parameters
    ----------
    devices : list of (str, str)
        Label and name of each device.
    minutes : float
        Budget that is proposed.
    """

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
        self.header = HeaderView(
            "The stack to learn from. It is only read, never changed. What is marked in the dock "
            "Repair slice is left out by itself"
        )
        self.header.yes.setToolTip(
            "Take up the training where it was left; it has a copy of its slices"
        )
        self.header.no.setToolTip("Delete what was trained, and the copy of the slices")
        layout.addWidget(self.header)
        self.how = HowPanel(devices, minutes)
        self.part = PartPanel()
        self.vgg = VggPanel()
        self.uses = UsesPanel()
        self.run, self.verdict, self.live = RunPanel(), VerdictPanel(), LivePanel()
        self.models = ModelsPanel()
        self.learning = group(heading("1  What it should learn"), self.how, self.part)
        self.training = heading("2  Train")
        self.forecast = group(self.vgg, self.uses)
        for widget in (self.learning, self.training, self.forecast):
            layout.addWidget(widget)
        for panel in (self.run, self.verdict, self.live, self.models):
            layout.addWidget(panel)
        layout.addStretch()
        for panel in (self.how, self.part):
            panel.changed.connect(self.changed)
        self.render_state(FineTuneState())

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        self.header.show_stacks(state.layers, state.chosen, state.info)
        idle = state.run.phase == "idle"
        question = state.question if idle else None
        refusal = state.refusal if idle else ""
        said = [question.text] if question else []
        text = "\n".join([*said, *([refusal] if refusal else [])])
        self.header.show_message(text, question, bool(refusal) and state.offer_sample)
        for part in (self.learning, self.forecast):
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


def group(*widgets: QWidget) -> QWidget:
    """Put widgets below each other in one."""
    made = QWidget()
    column = QVBoxLayout(made)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(5)
    for widget in widgets:
        column.addWidget(widget)
    return made
