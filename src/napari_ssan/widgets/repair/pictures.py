"""Drawing arrays as pictures in labels. Plain Qt: no canvas, no OpenGL, nothing is read."""

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel


def pixmap(pixels: npt.NDArray[np.uint8]) -> QPixmap:
    """Turn grey values, (height, width), or colours, (height, width, 3), into a picture."""
    height, width = (int(length) for length in pixels.shape[:2])
    grey, colour = QImage.Format.Format_Grayscale8, QImage.Format.Format_RGB888
    kind = grey if pixels.ndim == 2 else colour
    # The copy owns its pixels; the first image only borrows them.
    line = width * (1 if pixels.ndim == 2 else 3)
    image = QImage(pixels.tobytes(), width, height, line, kind).copy()
    return QPixmap.fromImage(image)


def show_grey(label: QLabel, pixels: npt.NDArray[np.uint8], side: int, shown: int) -> None:
    """Show the middle of a picture, `shown` pixels high and wide at most, `side` on screen."""
    top, left = (max(0, length - shown) // 2 for length in pixels.shape)
    part = pixmap(pixels[top : top + shown, left : left + shown])
    smooth = Qt.TransformationMode.SmoothTransformation
    label.setPixmap(part.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, smooth))
