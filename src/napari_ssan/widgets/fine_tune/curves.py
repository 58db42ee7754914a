"""Curves of a run: scores on held-out slices against the baselines, and the loss by terms.

What there is to draw is collected by `History`; this module only draws it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor

from napari_ssan.widgets.fine_tune.history import Curve, History
from napari_ssan.widgets.shared.parts import Column, wrapped

#: Colours for light and dark themes that most colour-blind people can tell apart.
BLUE, ORANGE, GREEN, SKY = "#3b8eea", "#e69f00", "#1fa97c", "#7cc7f2"
RED = "#d55e00"
HEIGHT = 86


@dataclass(frozen=True)
class Line:
    """A curve of a plot: name of its value in the history, label in the legend, what it means."""

    name: str
    label: str
    #: As ``#rrggbb``; empty is the colour of the text.
    colour: str
    tooltip: str


TERMS = (
    Line("total", "total", "", "The sum that training minimizes"),
    Line("pixel", "pixels", BLUE, "Difference in grey values from the real slice (Charbonnier)"),
    Line("structure", "structure", SKY, "One minus the structural similarity"),
    Line(
        "membranes",
        "membranes",
        RED,
        "One minus the overlap of membranes that a segmenter finds",
    ),
    Line("feature", "features", GREEN, "Difference in features of VGG16 (feature reconstruction)"),
    Line("style", "style", ORANGE, "Difference in texture from three slices"),
)
BALANCE = (
    Line("style_0", "before", BLUE, "Style balance, signed term of the slice before"),
    Line("style_1", "the slice", ORANGE, "Style balance, signed term of the slice itself"),
    Line("style_2", "after", GREEN, "Style balance, signed term of the slice after"),
)
GAMMAS = (
    Line("gamma_0", "γ₁", BLUE, "First stage of the attention"),
    Line("gamma_1", "γ₂", ORANGE, "Second stage of the attention"),
    Line("gamma_2", "γ₃", GREEN, "Third stage of the attention"),
)


class Plot(Column):
    """A plot with its title and legend above it, in the colours of the dock."""

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__(spacing=1)
        self._title = title
        self.legend = wrapped()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setText(f"<b>{title}</b>")
        self.graph = pg.PlotWidget(background=None)
        self.graph.setFixedHeight(HEIGHT)
        self.graph.setToolTip(tooltip)
        self.graph.setMenuEnabled(False)
        self.graph.setMouseEnabled(x=False, y=False)
        self.graph.hideButtons()
        self.graph.getPlotItem().layout.setContentsMargins(0, 8, 8, 0)
        self.graph.getAxis("bottom").setStyle(maxTickLevel=0)
        left = self.graph.getAxis("left")
        left.setWidth(38)
        left.enableAutoSIPrefix(False)
        self.graph.getAxis("bottom").enableAutoSIPrefix(False)
        self.graph.getAxis("bottom").setHeight(18)
        self._drawn: dict[str, pg.PlotDataItem] = {}
        self.add(self.legend, self.graph)
        self._match_text()

    def draw(self, name: str, curve: Curve, colour: str, *, dashed: bool = False) -> None:
        """Draw or redraw a curve; an empty `colour` is the colour of the text."""
        if name not in self._drawn:
            self._drawn[name] = self.graph.plot(connect="finite")
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        ink = QColor(colour) if colour else self._ink()
        item = self._drawn[name]
        item.setData(*curve)
        item.setPen(pg.mkPen(ink, width=1 if dashed else 2, style=style))

    def dots(self, name: str, colour: str) -> None:
        """Mark the points of a curve."""
        self._drawn[name].setSymbol("o")
        self._drawn[name].setSymbolSize(5)
        self._drawn[name].setSymbolBrush(colour)
        self._drawn[name].setSymbolPen(None)

    def clear(self) -> None:
        """Remove all curves."""
        self._drawn.clear()
        self.graph.clear()

    def explain(self, entries: Sequence[tuple[str, str]]) -> None:
        """Fill the legend: label and colour of each curve."""
        ink = self._ink().name()
        parts = [f'<span style="color:{colour or ink}">{label}</span>' for label, colour in entries]
        self.legend.setText(" &nbsp;".join([f"<b>{self._title}</b>", *parts]))

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (
            QEvent.Type.PaletteChange,
            QEvent.Type.StyleChange,
        ):
            self._match_text()

    def _ink(self) -> QColor:
        return QColor(self.palette().color(self.foregroundRole()))

    def _match_text(self) -> None:
        faint = self._ink()
        faint.setAlpha(110)
        for side in ("left", "bottom"):
            axis = self.graph.getAxis(side)
            axis.setPen(faint)
            axis.setTextPen(self._ink())


class ScorePlots(Column):
    """Scores on the held-out slices, with dashed lines for average and optical flow."""

    def __init__(self) -> None:
        super().__init__(spacing=2)
        self.plots = {
            "psnr": Plot("PSNR (dB)", "Accuracy of the grey values in decibels; higher is better"),
            "ssim": Plot("SSIM", "Similarity of structure; higher is better, 1 is identical"),
            "hf_ratio": Plot(
                "Grain (1: as real)",
                "Fine texture of the synthetic slices relative to the real ones: 1 is right, less "
                "is too smooth. Natural texture gains grain and loses some decibels",
            ),
        }
        self.figures = wrapped("The best model so far for this aim; this one is kept")
        first = self.plots["psnr"]
        first.explain([("━ yours", BLUE), ("┅ flow", ORANGE), ("┅ average", GREEN)])
        first.legend.setToolTip(
            "Held-out slices are not trained on. Each is synthesized from its neighbours and "
            "compared with the real one. Your model should be above the dashed lines: optical "
            "flow, and the average of the neighbours"
        )
        self.add(*self.plots.values(), self.figures)

    def clear(self) -> None:
        """Remove all curves."""
        for plot in self.plots.values():
            plot.clear()

    def show_history(self, history: History) -> None:
        """Draw a history."""
        last = max((v.step for v in history.validations), default=0)
        for metric, plot in self.plots.items():
            plot.setVisible(bool(history.validations))
            plot.draw("ours", history.scores(metric), BLUE)
            plot.dots("ours", BLUE)
            for name, colour in (("tvl1", ORANGE), ("average", GREEN)):
                scores = history.baselines.get(name, {})
                ends = (np.array([0.0, max(last, 1)]), np.full(2, scores.get(metric, np.nan)))
                plot.draw(name, ends, colour, dashed=True)
        ends = (np.array([0.0, max(last, 1)]), np.ones(2))
        self.plots["hf_ratio"].draw("real", ends, "", dashed=True)
        best = history.best or (history.validations[0] if history.validations else None)
        scores = best.scores if best else {}
        self.figures.setText(
            f"Best: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}, "
            f"grain {scores['hf_ratio']:.2f}"
            if best
            else "Scores appear before the first step, and regularly during training."
        )


class LossPlots(Column):
    """The loss term by term, the signed terms of the style balance, and the attention's γ."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = (
            (Plot("Loss", "What training minimizes: the terms, and their sum"), TERMS),
            (
                Plot(
                    "Style balance",
                    "Difference in texture from three slices, with its sign. The terms of the "
                    "slices before and after keep the result from copying one of them",
                ),
                BALANCE,
            ),
            (Plot("Attention", "How much each stage of the attention (γ) contributes"), GAMMAS),
        )
        self.add(*(plot for plot, _ in self.groups))

    def clear(self) -> None:
        """Remove all curves."""
        for plot, _ in self.groups:
            plot.clear()

    def show_history(self, history: History) -> None:
        """Draw a history; a plot without curves is hidden."""
        for plot, lines in self.groups:
            known = [line for line in lines if line.name in history.names]
            plot.setVisible(bool(known))
            plot.explain([(line.label, line.colour) for line in known])
            plot.legend.setToolTip("\n".join(f"{line.label}: {line.tooltip}" for line in known))
            for line in known:
                plot.draw(line.name, history.curve(line.name), line.colour)
