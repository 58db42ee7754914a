"""The window "Compare": pictures of a slice in step, and the ways to look at two of them.

It shows pictures that were made elsewhere and emits what the user does; it reads nothing.
Easy to get wrong: it stays open while slices change, so any number of pictures may come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPoint, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QCloseEvent, QColor, QMouseEvent, QPainter, QPaintEvent, QPixmap, QWheelEvent
from qtpy.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_ssan.session.comparison import Picture
from napari_ssan.widgets.repair.pictures import pixmap
from napari_ssan.widgets.shared.parts import button, say, wrapped

SIDE_BY_SIDE, SWIPE, BLINK, CUTS = "Side by side", "Swipe", "Blink", "XZ and YZ"
#: Ways to look, and what each is good for.
WAYS = {
    SIDE_BY_SIDE: "Previous, before, after and next, in step",
    SWIPE: "Two pictures over each other: move the mouse to draw the border",
    BLINK: "Two pictures in turn, at one place",
    CUTS: "Cuts across the slices through the middle, before and after",
}
#: What the mouse does, and what it does besides while two pictures lie over each other.
HINT = "The wheel zooms, dragging moves."
BORDER = "Move the mouse over the pictures to draw the border."
#: Time that each picture blinks, in milliseconds, and height of a caption, in pixels.
PERIOD, CAPTION = 600, 18
#: Colours of the background and of lines, and length of the lines beside a cut, in pixels.
GROUND, LINE, TICK = "#181818", "#ffb000", 12


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture that is ready to be drawn; the rest is as in :class:`Picture`."""

    words: str
    picture: QPixmap
    aspect: float
    row: int | None

    @classmethod
    def of(cls, picture: Picture) -> Drawing:
        """Get a picture ready."""
        return cls(picture.words, pixmap(picture.pixels), picture.aspect, picture.row)

    @property
    def size(self) -> QSize:
        """Size on screen, before it is fitted in."""
        height = max(1, round(self.picture.height() * self.aspect))
        return QSize(self.picture.width(), height)


class Canvas(QWidget):
    """Draws pictures; the wheel zooms, and dragging moves, all of them at once."""

    #: How many times as much is to be seen.
    zoomed = Signal(float)
    #: By which part of a picture it is to be moved down and to the right.
    moved = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(320, 240)
        self.setMouseTracking(True)
        self._shown: list[Drawing] = []
        self._swiping = False
        self._border = 0.5
        self._held: QPoint | None = None

    def show_pictures(self, shown: list[Drawing], swiping: bool) -> None:
        """Draw these; `swiping`: two over each other."""
        self._shown, self._swiping = shown, swiping
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Large enough for four pictures."""
        return QSize(900, 520)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the pictures."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(GROUND))
        if self._swiping and len(self._shown) == 2:
            self._draw(painter, self.rect(), self._shown[0])
            border = round(self._border * self.width())
            painter.setClipRect(QRect(border, 0, self.width() - border, self.height()))
            self._draw(painter, self.rect(), self._shown[1], right=True)
            painter.setClipping(False)
            painter.fillRect(QRect(border - 1, 0, 2, self.height()), QColor(LINE))
        else:
            for place, each in zip(self._cells(), self._shown, strict=True):
                self._draw(painter, place, each)
        painter.end()

    def _cells(self) -> list[QRect]:
        count = len(self._shown)
        wide = all(each.size.width() > 3 * each.size.height() for each in self._shown)
        columns = 1 if wide else count if count < 4 else -(-count // 2)
        rows = -(-count // columns) if count else 0
        return [
            QRect(
                self.width() * (n % columns) // columns,
                self.height() * (n // columns) // rows,
                self.width() // columns - 4,
                self.height() // rows - 4,
            )
            for n in range(count)
        ]

    @staticmethod
    def _draw(painter: QPainter, place: QRect, drawing: Drawing, right: bool = False) -> None:
        """Draw a picture with its caption, which stands at the left or the `right`."""
        size = drawing.size.scaled(
            QSize(place.width(), place.height() - CAPTION), Qt.AspectRatioMode.KeepAspectRatio
        )
        left, top = place.left() + (place.width() - size.width()) // 2, place.top() + CAPTION
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(QRect(QPoint(left, top), size), drawing.picture)
        if drawing.row is not None:  # where the section lies in a cut
            y = top + round((drawing.row + 0.5) * size.height() / drawing.picture.height())
            for x in (left, left + size.width() - TICK):
                painter.fillRect(QRect(x, y - 1, TICK, 2), QColor(LINE))
        side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
        caption = QRect(left, place.top(), max(size.width(), 60), CAPTION)
        painter.fillRect(caption, QColor(GROUND))
        painter.setPen(QColor("#f0f0f0"))
        painter.drawText(caption, side | Qt.AlignmentFlag.AlignVCenter, drawing.words)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Ask for more or less."""
        if event is not None and event.angleDelta().y():
            self.zoomed.emit(0.8 if event.angleDelta().y() > 0 else 1.25)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Take hold of the pictures."""
        if event is not None:
            self._held = event.position().toPoint()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Move the border between two pictures."""
        if event is None:
            return
        if self._swiping and self._held is None:
            self._border = event.position().x() / max(1, self.width())
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Ask for what lies beside."""
        if event is None or self._held is None:
            return
        way, self._held = event.position().toPoint() - self._held, None
        cells = [self.rect()] if self._swiping else self._cells()
        if cells and way.manhattanLength() > 3:
            side = min(cells[0].width(), cells[0].height() - CAPTION)
            self.moved.emit(way.y() / side, way.x() / side)


class CompareWindow(QDialog):
    """The canvas, the way to look, which two pictures, and the results to choose from."""

    #: Another way to look, another part, another result is wanted.
    way_chosen = Signal()
    zoomed = Signal(float)
    moved = Signal(float, float)
    result_chosen = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Compare")
        self.canvas = Canvas()
        self.canvas.zoomed.connect(self.zoomed)
        self.canvas.moved.connect(self.moved)
        self.way = QComboBox()
        for number, (name, meaning) in enumerate(WAYS.items()):
            self.way.addItem(name)
            self.way.setItemData(number, meaning, Qt.ItemDataRole.ToolTipRole)
        self.way.setToolTip("How to look at the pictures")
        self.way.currentTextChanged.connect(self._on_way)
        self.one, self.other = QComboBox(), QComboBox()
        for box, tip in ((self.one, "The first picture"), (self.other, "The second picture")):
            box.setToolTip(tip)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            box.activated.connect(lambda _: self._draw())
        self.results = QComboBox()
        self.results.setToolTip("The result that is shown in the viewer and exported")
        self.results.activated.connect(
            lambda n: self.result_chosen.emit(str(self.results.itemData(n)))
        )
        self.hint = wrapped()
        self.hint.setText(HINT)
        self.close_button = button("Close", "Close this window", self.close)
        top = QHBoxLayout()
        self._chosen = QLabel("Use")
        for box in (self.way, self.one, self.other):
            top.addWidget(box)
        top.addStretch(1)
        for widget in (self._chosen, self.results, self.close_button):
            top.addWidget(widget)
        column = QVBoxLayout(self)
        column.addLayout(top)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.hint)
        self._pictures: list[Drawing] = []
        self._second = False
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._blink)
        self._on_way(self.way.currentText())

    def show_pictures(self, title: str, pictures: Sequence[Picture]) -> None:
        """Show these pictures of a slice."""
        self.setWindowTitle(f"Compare: {title}")
        names = [picture.words for picture in pictures]
        if names != [each.words for each in self._pictures]:
            usually = (self.one, ("before", "previous")), (self.other, ("after", "slice"))
            for box, usual in usually:
                kept = box.currentText()
                box.clear()
                box.addItems(names)
                near = [n for n, name in enumerate(names) if name.startswith(usual)]
                box.setCurrentIndex(names.index(kept) if kept in names else (near or [0])[-1])
        self._pictures = [Drawing.of(picture) for picture in pictures]
        self._draw()

    def show_results(self, results: Sequence[tuple[str, str]], chosen: str) -> None:
        """Offer the results of a slice, (name, label) each, if there are several."""
        self.results.clear()
        for name, label in results:
            self.results.addItem(label, name)
        self.results.setCurrentIndex([name for name, _ in results].index(chosen) if chosen else -1)
        for widget in (self._chosen, self.results):
            widget.setVisible(len(results) > 1)

    def show_message(self, text: str) -> None:
        """Show a sentence in place of pictures."""
        self._pictures = []
        self._draw()
        say(self.hint, text)

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802
        """Stop blinking."""
        self._timer.stop()
        self.closed.emit()
        super().closeEvent(event)

    def _on_way(self, way: str) -> None:
        two = way in (SWIPE, BLINK)
        for box in (self.one, self.other):
            box.setVisible(two)
        if way == BLINK:
            self._timer.start()
        else:
            self._timer.stop()
        self.way_chosen.emit()
        self._draw()

    def _blink(self) -> None:
        self._second = not self._second
        self._draw()

    def _draw(self) -> None:
        way, shown = self.way.currentText(), self._pictures
        say(self.hint, f"{HINT} {BORDER}" if way == SWIPE else HINT)
        if way in (SWIPE, BLINK) and shown:
            by_name = {each.words: each for each in shown}
            names = (self.one.currentText(), self.other.currentText())
            shown = [by_name[name] for name in names if name in by_name]
            if way == BLINK:
                shown = shown[-1:] if self._second else shown[:1]
        self.canvas.show_pictures(shown, way == SWIPE)
