"""Preview of one held-out slice: real, from the base model, and from the model in training."""

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel

from napari_ssan.stack.sections import Array
from napari_ssan.training.events import Preview
from napari_ssan.widgets.shared.parts import Column

HEIGHT = 132
#: Grey values beyond these quantiles of the real slice are black and white.
DARKEST, BRIGHTEST = 0.002, 0.998
#: Width in pixels of the middle of a slice, which is shown at first.
WIDTH = 128
REAL, NONE = "real", "No preview yet."


class PreviewImages(Column):
    """Three images that are moved and zoomed together."""

    def __init__(self) -> None:
        grid = QGridLayout()
        super().__init__(grid)
        grid.setSpacing(3)
        self.caption = QLabel(NONE)
        grid.addWidget(self.caption, 0, 0, 1, 3)
        self.titles: list[QLabel] = []
        self.images: list[pg.ImageItem] = []
        self._boxes: list[pg.ViewBox] = []
        tips = (
            "The real slice, which is not trained on",
            "Synthesized from its neighbours by the base model",
            "Synthesized from its neighbours by the model in training",
        )
        for column, (title, tip) in enumerate(zip((REAL, "before", "now"), tips, strict=True)):
            label = QLabel(title)
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            graph = pg.GraphicsView(background=None)
            graph.setFixedHeight(HEIGHT)
            graph.setMinimumWidth(60)
            graph.setToolTip(f"{tip}. Drag to move, turn the wheel to zoom")
            box = pg.ViewBox(invertY=True, lockAspect=True, enableMenu=False, border=None)
            graph.setCentralItem(box)
            image = pg.ImageItem(axisOrder="row-major")
            box.addItem(image)
            if self._boxes:
                box.setXLink(self._boxes[0])
                box.setYLink(self._boxes[0])
            self._boxes.append(box)
            self.titles.append(label)
            self.images.append(image)
            grid.addWidget(label, 1, column)
            grid.addWidget(graph, 2, column)
            grid.setColumnStretch(column, 1)
        self._shown: Preview | None = None

    def show_preview(self, preview: Preview | None) -> None:
        """Show a preview; position and zoom stay."""
        if preview is self._shown:
            return
        first = self._shown is None
        self._shown = preview
        if preview is None:
            self.caption.setText(NONE)
            self.caption.show()
            self.titles[0].setText(REAL)
            for image in self.images:
                image.clear()
            return
        self.caption.hide()
        self.titles[0].setText(f"{REAL}, slice {preview.section}")
        levels = _levels(preview.real)
        pictures = (preview.real, preview.before, preview.now)
        for image, picture in zip(self.images, pictures, strict=True):
            image.setImage(picture, levels=levels)
        if first:
            self._centre(preview.real.shape)

    def _centre(self, shape: tuple[int, ...]) -> None:
        middle_y, middle_x = shape[0] / 2, shape[1] / 2
        half = min(WIDTH, *shape) / 2
        self._boxes[0].setRange(
            xRange=(middle_x - half, middle_x + half),
            yRange=(middle_y - half, middle_y + half),
            padding=0,
        )


def _levels(real: Array) -> tuple[float, float]:
    """Grey values that are shown black and white."""
    low, high = np.quantile(real, (DARKEST, BRIGHTEST))
    return float(low), float(max(high, low + 1e-6))
