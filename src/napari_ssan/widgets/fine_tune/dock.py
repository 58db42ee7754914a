"""The dock widget "Fine-tune", which napari makes.

Its trainer belongs to the viewer, not to the dock: training continues when the dock is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMainWindow

from napari_ssan.widgets.fine_tune.backend import Backend
from napari_ssan.widgets.fine_tune.controller import FineTuneController
from napari_ssan.widgets.fine_tune.trainer import Trainer
from napari_ssan.widgets.shared.dock import Dock, parent_of
from napari_ssan.widgets.shared.layers import unwrap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer

#: Property of a window whose closing ends the training.
WATCHED = "napari_ssan_training"


class FineTuneDock(Dock):
    """Fine-tune a model on the open stack, and keep it if it is better.

    Training continues when the dock is closed. When the viewer is closed it stops with a
    checkpoint, and the next dock offers to continue.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        controller = FineTuneController(napari_viewer, trainer_of(napari_viewer))
        super().__init__("Fine-tune", controller.view, controller.close)
        self.controller = controller
        self.destroyed.connect(controller.close)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Find the window that the dock is in: training ends with it."""
        super().showEvent(event)
        window = parent_of(self, QMainWindow)
        if window is not None:
            end_with(window, self.controller.trainer)


def end_with(window: QMainWindow, trainer: Trainer) -> None:
    """End a training when its window is closed, even if its dock was closed before."""
    if window.property(WATCHED) is None:
        window.setProperty(WATCHED, True)
        window.destroyed.connect(lambda: trainer.close())


_TRAINERS: WeakKeyDictionary[ViewerModel, Trainer] = WeakKeyDictionary()


def trainer_of(viewer: ViewerModel) -> Trainer:
    """Return the trainer of a viewer, which stays when a dock is closed."""
    key = unwrap(viewer)
    if key not in _TRAINERS or _TRAINERS[key].closed:
        _TRAINERS[key] = Trainer(Backend())
    return _TRAINERS[key]
