"""A strip that shows where in the stack marks and suggestions lie; a click goes there.

It stands in the dock and not at the slider, which belongs to napari. Easy to get wrong: in a
stack of thousands a slice is thinner than a pixel, so every tick has a least width.
"""

from collections.abc import Mapping

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_ssan.widgets.shared.colours import LEGEND, TICKS

#: Height of the strip and least width of a tick, in pixels.
HEIGHT, THINNEST = 18, 2.0


class ZStrip(QWidget):
    """Ticks along z, and the slice on screen."""

    #: Number of the slice that was clicked.
    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Where marks and suggestions lie, first slice to last. Click to go there.\n"
            + ", ".join(f"{what}: {named}" for what, named in LEGEND.items())
        )
        self._count = 0
        self._section: int | None = None
        self._ticks: tuple[tuple[int, str], ...] = ()

    def show_ticks(self, count: int, section: int | None, ticks: Mapping[int, str]) -> None:
        """Show what is at the slices of a stack.

        Parameters
        ----------
        count : int
            Number of slices; the strip is hidden if nothing is at any of them.
        section : int or None
            The slice on screen.
        ticks : mapping of int to str
            A key of `TICKS`, by slice.
        """
        new = count, section, tuple(sorted(ticks.items()))
        if new != (self._count, self._section, self._ticks):
            self._count, self._section, self._ticks = new
            self.update()
        self.setVisible(bool(ticks))

    def place(self, section: int) -> float:
        """Middle of a slice, in pixels from the left."""
        return (section + 0.5) / max(self._count, 1) * self.width()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw a line, the ticks, and the slice on screen."""
        painter = QPainter(self)
        text = self.palette().text().color()
        painter.fillRect(QRectF(0, HEIGHT / 2 - 0.5, self.width(), 1), _faint(text))
        wide = max(THINNEST, self.width() / max(self._count, 1))
        for section, what in self._ticks:
            left = self.place(section) - wide / 2
            painter.fillRect(QRectF(left, 3, wide, HEIGHT - 6), QColor(TICKS[what]))
        if self._section is not None:
            left = self.place(self._section) - wide / 2
            painter.setPen(text)
            painter.drawRect(QRectF(left - 1, 0.5, wide + 2, HEIGHT - 1.5))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Go to the tick that was clicked, or to the slice if none is near."""
        if event is None or event.button() != Qt.MouseButton.LeftButton or not self._count:
            return
        at = event.position().x()
        slice_there = min(max(int(at / self.width() * self._count), 0), self._count - 1)
        near = [section for section, _ in self._ticks if abs(self.place(section) - at) <= 4]
        closest = min(near, key=lambda section: abs(self.place(section) - at), default=slice_there)
        self.asked.emit(closest)


def _faint(colour: QColor) -> QColor:
    faint = QColor(colour)
    faint.setAlpha(90)
    return faint
