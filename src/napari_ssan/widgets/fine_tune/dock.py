"""The dock widget "Fine-tune", as napari makes it."""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMainWindow

from napari_ssan.widgets.fine_tune.controller import FineTuneController
from napari_ssan.widgets.fine_tune.core import Core
from napari_ssan.widgets.fine_tune.trainer import Trainer
from napari_ssan.widgets.shared.dock import Dock
from napari_ssan.widgets.shared.layers import unwrap

if TYPE_CHECKING:
    import napari

#: Marks a window that a training leaves off with.
WATCHED = "napari_ssan_training"


class FineTuneDock(Dock):
    """Train a model on the stack that is open, watch it, and keep what is better.

    Training goes on when the dock is closed. When the viewer is closed it leaves off
    with a checkpoint, and the next dock offers to go on.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer that it works in.
    """

    def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
        super().__init__("Fine-tune", FineTuneController(napari_viewer, trainer_of(napari_viewer)))
        self.destroyed.connect(self.controller.close)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Learn which window it is in: training ends with it."""
        super().showEvent(event)
        window = self.parentWidget()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parentWidget()
        if window is not None:
            leave_with(window, self.controller.trainer)


def leave_with(window: QMainWindow, trainer: Trainer) -> None:
    """Have a training leave off when a window goes, also where its dock is closed by then."""
    if window.property(WATCHED) is None:
        window.setProperty(WATCHED, True)
        window.destroyed.connect(lambda: trainer.close())


_TRAINERS: WeakKeyDictionary[Any, Trainer] = WeakKeyDictionary()


def trainer_of(viewer: Any) -> Trainer:
    """Return the trainer of a viewer, which stays when a dock is closed."""
    key = unwrap(viewer)
    if key not in _TRAINERS or _TRAINERS[key].closed:
        _TRAINERS[key] = Trainer(Core())
    return _TRAINERS[key]
