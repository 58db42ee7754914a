"""Layout of the dock "Fine-tune". Shows a state, emits what the user does, decides nothing."""

from qtpy.QtCore import Signal

from napari_ssan.widgets.fine_tune.models import ModelsPanel
from napari_ssan.widgets.fine_tune.panels import OptionsPanel, SubsetPanel
from napari_ssan.widgets.fine_tune.run_panel import LivePanel, RunPanel, VerdictPanel
from napari_ssan.widgets.fine_tune.state import WITHOUT, FineTuneState
from napari_ssan.widgets.fine_tune.training_data import TrainingDataPanel
from napari_ssan.widgets.fine_tune.vgg import VggPanel
from napari_ssan.widgets.shared.header import DockView
from napari_ssan.widgets.shared.parts import Column, heading


class FineTuneView(DockView):
    """The header, options, training and its result, and the user's models.

    A device is a label and a name; `minutes` is the training time that is proposed.
    """

    #: The user has changed what to learn from, or how.
    changed = Signal()

    def __init__(self, devices: list[tuple[str, str]], minutes: float) -> None:
        super().__init__(
            "The stack to learn from. It is only read, never changed. Slices and regions that are "
            "marked in the dock Repair slice are left out"
        )
        self.header.yes.setToolTip("Continue this training. It works on its own copy of the slices")
        self.header.no.setToolTip("Delete this training and its copy of the slices")
        self.options, self.subset = OptionsPanel(devices, minutes), SubsetPanel()
        self.vgg, self.data = VggPanel(), TrainingDataPanel()
        self.run, self.verdict, self.live = RunPanel(), VerdictPanel(), LivePanel()
        self.models = ModelsPanel()
        self.learning = Column(heading("1  What to learn"), self.options, self.subset)
        self.training = heading("2  Train")
        self.forecast = Column(self.vgg, self.data)
        self.add(self.learning, self.training, self.forecast)
        self.add(self.run, self.verdict, self.live, self.models)
        self.finish()
        self.options.changed.connect(self.changed)
        self.subset.changed.connect(self.changed)
        self.render_state(FineTuneState())

    def render_state(self, state: FineTuneState) -> None:
        """Show a state."""
        self.header.show_stacks(state.layers, state.chosen, state.info)
        idle = state.run.phase == "idle"
        question = state.question if idle else None
        refusal = state.refusal if idle else ""
        text = "\n".join(filter(None, [question.text if question else "", refusal]))
        self.header.show_message(text, question, bool(refusal) and state.offer_sample)
        for part in (self.learning, self.forecast):
            part.setVisible(idle)
            part.setEnabled(not refusal)
        self.training.setVisible(state.run.phase != "judged")
        self.options.render_state(state)
        self.subset.render_state(state)
        self.data.show_data(state.data)
        self.render_run(state)
        self.live.setVisible(not idle)

    def render_run(self, state: FineTuneState) -> None:
        """Show only the progress of training: this comes often."""
        self.run.render_state(state)
        self.verdict.render_state(state)

    def show_vgg(self, state: FineTuneState) -> None:
        """Ask where to get VGG16 from, or say that training goes without it."""
        self.vgg.show_question(state.wants_vgg, WITHOUT if state.without else "")
